"""Plain ASGI with msgspec on uvicorn, the model inline, no batching: the yardstick of ``bench engine``."""

import sys
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import uvicorn


class Asked(msgspec.Struct):
    instances: list[list[float]]


class App:
    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name
        self.shape = [-1, *self.session.get_inputs()[0].shape[1:]]
        self.decoder = msgspec.json.Decoder(Asked)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = message["body"]
        if message.get("more_body"):
            parts = [body]
            while message.get("more_body"):
                message = await receive()
                parts.append(message["body"])
            body = b"".join(parts)
        if scope["path"] == "/binary":
            rows = np.frombuffer(body, np.float32).reshape(self.shape)
            content = memoryview(self.session.run(None, {self.name: rows})[0]).tobytes()
        else:
            rows = np.array(self.decoder.decode(body).instances, np.float32)
            answer = self.session.run(None, {self.name: rows})[0]
            content = msgspec.json.encode({"predictions": answer.tolist()})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


if __name__ == "__main__":
    uvicorn.run(App(sys.argv[1]), port=int(sys.argv[2]), lifespan="off", access_log=False, log_level="warning")
