"""Lambda's Runtime API on this machine: a process asks it for events, and posts what came of them.

Four paths are all there is to it: next, response, error, and init/error. ``LocalLambda`` plays the
platform around them: it starts the process, waits, hands in events, and ends it.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from helpers.errors import UserError

ROOT_PATH = "/2018-06-01/runtime"
INIT_SECONDS = 60.0  # Lambda itself gives an init 10; a busy classroom machine may need more
ENDED = object()

Event = dict[str, Any]


class LocalLambda:
    """One execution environment: a process that was started cold, and is asked one event at a time.

    >>> with LocalLambda(folder) as function:  # doctest: +SKIP
    ...     function.invoke(request("POST", "/classify", body))
    """

    def __init__(self, folder: Path, timeout: float = 30.0, command: Sequence[str] | None = None) -> None:
        self.folder = folder
        self.timeout = timeout
        self.command = command or [sys.executable, "-m", "awslambdaric", "handler.handler"]
        self.init_seconds = 0.0
        self._asks = True  # for an event; it has not answered one yet, or has asked again
        self._events: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self._told: queue.Queue[tuple[str, Any]] = queue.Queue()

    def __enter__(self) -> "LocalLambda":
        self._server = _Server(("127.0.0.1", 0), _handler(self._events, self._told))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self._log = tempfile.TemporaryFile()  # it lives as long as this does
        began = time.perf_counter()
        places = [str(self.folder), str(self.folder / "bundle")]
        self._process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=os.environ
            | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "trial"}
            | {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024", "AWS_LAMBDA_FUNCTION_VERSION": "1"}
            | {"PYTHONPATH": os.pathsep.join(places), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            kind, content = self._next(INIT_SECONDS)
            if kind != "next":
                raise UserError("The function does not start.", self._why(content))
        except BaseException:
            self.__exit__()
            raise
        self.init_seconds = time.perf_counter() - began
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # nothing tells a function of its end
        self._process.wait()
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._log.close()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def invoke(self, event: Event) -> dict[str, Any]:
        """Hand in an event, and wait for what came of it."""
        if not self._asks and self._next(self.timeout)[0] != "next":
            raise UserError("The function ended after its last answer.", self._why(None))
        self._asks = False
        self._events.put((uuid.uuid4().hex, json.dumps(event).encode()))
        kind, content = self._next(self.timeout)
        if kind != "response":
            raise UserError("The function failed.", self._why(content))
        answer: dict[str, Any] = content
        return answer

    def _next(self, patience: float) -> tuple[str, Any]:
        try:
            return self._told.get(timeout=patience)
        except queue.Empty:
            raise UserError(f"The function said nothing for {patience:g} seconds.", self._why(None)) from None

    def _watch(self) -> None:
        code = self._process.wait()
        self._told.put(("ended", {"errorMessage": f"the process ended with code {code}"}))

    def _why(self, content: Any) -> str:
        told = content.get("errorMessage", "") if isinstance(content, dict) else ""
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().splitlines()[-3:]
        return told or " ".join(last) or "it said nothing."


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that is killed leaves its connection broken, as it does in the cloud."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Event:
    """The event that a function URL, or an HTTP API of a gateway, makes of a request."""
    path, _, query = path.partition("?")
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"content-type": "application/json", "host": "localhost"} | (headers or {}),
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"},
            "requestId": uuid.uuid4().hex,
            "stage": "$default",
        },
        **_body(body),
    }


def _body(body: bytes) -> Event:
    import base64

    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _handler(
    events: "queue.Queue[tuple[str, bytes] | None]", told: "queue.Queue[tuple[str, Any]]"
) -> type[BaseHTTPRequestHandler]:
    class RuntimeApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: in two, the second waits for 40 ms

        def do_GET(self) -> None:
            if self.path != f"{ROOT_PATH}/invocation/next":
                self._answer(404, b"{}")
                return
            told.put(("next", None))
            event = events.get()
            if event is None:  # the platform ends, and so will the process that asked
                self.close_connection = True
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": event[0],
                "Lambda-Runtime-Deadline-Ms": str(int(1000 * (time.time() + 30))),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:local:000000000000:function:trial",
            }
            self._answer(200, event[1], headers)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            self._answer(202, b'{"status":"OK"}')
            kind = "response" if self.path.endswith("/response") else "error"
            told.put((kind, json.loads(content or b"null")))

        def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Not on stderr."""

    return RuntimeApi
