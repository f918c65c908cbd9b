"""BentoML, as its documentation teaches it; with ``batching`` its adaptive batching is on.

The file is a server to start, and the service that BentoML's own processes import.
"""

import os
import sys
from typing import Any

import numpy as np
import onnxruntime


def make(path: str, batching: bool) -> Any:
    import bentoml

    class Model:
        def __init__(self) -> None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.about = self.session.get_inputs()[0]

        def predict(self, instances: np.ndarray) -> np.ndarray:
            return self.session.run(None, {self.about.name: instances.astype(np.float32)})[0]  # type: ignore[no-any-return]

        def binary(self, content: bytes, /) -> np.ndarray:
            rows = np.frombuffer(content, np.float32).reshape([-1, *self.about.shape[1:]])
            return self.session.run(None, {self.about.name: rows})[0]  # type: ignore[no-any-return]

    together = {"batchable": True, "max_batch_size": 32, "max_latency_ms": 1000} if batching else {}
    Model.predict = bentoml.api(Model.predict, **together)  # type: ignore[method-assign]
    Model.binary = bentoml.api(Model.binary)  # type: ignore[method-assign]
    return bentoml.service(Model, workers=1)


if __name__ == "__main__":
    path, port, *how = sys.argv[1:]
    os.environ |= {"BENCH_MODEL": path, "BENCH_BATCHING": " ".join(how), "BENTOML_DO_NOT_TRACK": "True"}
    served = ["serve", "helpers.bench.servers.bentoml_app:service", "--host", "127.0.0.1", "--port", port]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *served])
elif "BENCH_MODEL" in os.environ:
    service = make(os.environ["BENCH_MODEL"], bool(os.environ["BENCH_BATCHING"]))
