"""No server at all: ONNX Runtime in a loop, which is what every server's answers cost at least.

Run as ``python -m helpers.bench.servers.session_loop MODEL.onnx ROWS SECONDS``; it prints the
rows a second, and the seconds that half of the calls, and 99 of 100, took at most.
"""

import sys
import time

import numpy as np
import onnxruntime

if __name__ == "__main__":
    path, rows, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    about = session.get_inputs()[0]
    feeds = {about.name: np.random.default_rng(0).random((rows, *about.shape[1:]), np.float32)}
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while not taken or time.perf_counter() < ends:
        began = time.perf_counter()
        session.run(None, feeds)
        taken.append(time.perf_counter() - began)
    print(rows * len(taken) / sum(taken), *np.percentile(taken, [50, 99]))
