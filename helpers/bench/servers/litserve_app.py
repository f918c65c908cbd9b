"""LitServe, as its documentation teaches it; with ``batching`` it waits 5 ms for company. Needs the extra ``peers``."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from fastapi import Request


class Model(litserve.LitAPI):  # type: ignore[misc]  # where LitServe is not installed, its types are not either
    def __init__(self, path: str, batching: bool) -> None:
        super().__init__(**({"max_batch_size": 32, "batch_timeout": 0.005} if batching else {}))
        self.path = path
        self.batching = batching

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        self.about = self.session.get_inputs()[0]

    def decode_request(self, request: Request) -> Any:
        if "content" in request:  # a file of a form: LitServe reads no other bytes
            return np.frombuffer(request["content"].file.read(), np.float32).reshape(self.about.shape[1:])
        return np.array(request["instances"][0], np.float32)

    def predict(self, rows: Any) -> Any:
        return self.session.run(None, {self.about.name: rows if self.batching else rows[np.newaxis]})[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"predictions": np.atleast_2d(output).tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Model(sys.argv[1], "batching" in sys.argv), accelerator="cpu")
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
