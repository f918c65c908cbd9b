"""A bare httptools protocol with the model inline: what Python can do at most. It checks nothing."""

import asyncio
import sys
from typing import Any

import httptools
import msgspec
import numpy as np
import onnxruntime

from helpers.serving.server import new_loop


class Asked(msgspec.Struct):
    instances: list[list[float]]


class Protocol(asyncio.Protocol):
    session: Any = None
    decoder = msgspec.json.Decoder(Asked)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.url = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self.body)
        self.body.clear()
        about = self.session.get_inputs()[0]
        if self.url == b"/binary":
            rows = np.frombuffer(body, np.float32).reshape([-1, *about.shape[1:]])
            content = self.session.run(None, {about.name: rows})[0].tobytes()
        else:
            rows = np.array(self.decoder.decode(body).instances, np.float32)
            content = msgspec.json.encode({"predictions": self.session.run(None, {about.name: rows})[0].tolist()})
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)


async def serve(path: str, port: int) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    Protocol.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve(sys.argv[1], int(sys.argv[2])))
