"""Netron in a notebook: the graph of a model, to wander through with the mouse.

Netron is a page with scripts that its package ships. Its own small server cannot be
used as it is: it serves one model a process, asks for consent to cookies by way of
the internet, and its page refuses to work half a year after its release. So the
files are served from here, with those three mended, and nothing else changed.
"""

import html
import importlib.resources
import re
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from helpers.classroom.browser import address_of
from helpers.errors import UserError

TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
}
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class NetronView:
    """A model's graph as a frame in the notebook, and a link that opens it in a tab."""

    def __init__(self, path: Path | str, height: int = 480) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"There is no model file {self.path}.", "run the cell that exports it first.")
        self.height = height
        self.address = address_of(_server().port) + _server().publish(self.path) + "/"

    def _repr_html_(self) -> str:
        address, name = html.escape(self.address, quote=True), html.escape(self.path.name)
        return (
            f"<iframe src='{address}' title='Netron: the graph of {name}' "
            f"width='100%' height='{self.height}' style='border:1px solid #888'></iframe>"
            f"<div><a href='{address}' target='_blank' rel='noopener'>"
            f"Open {name} in a tab of its own</a></div>"
        )

    def __repr__(self) -> str:
        return f"[Netron: the graph of {self.path.name}, at {self.address}]"


class NetronServer:
    """Serves Netron's files and the models that were published, on loopback, until the kernel ends."""

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, name="netron", daemon=True)
        self._thread.start()

    def publish(self, path: Path) -> str:
        """Make a model reachable; the name under which it is cannot be guessed."""
        for name, published in self.models.items():
            if published == path.resolve():
                return name
        name = secrets.token_urlsafe(12)
        self.models[name] = path.resolve()
        return name

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def find(self, target: str) -> tuple[bytes, str] | None:
        """The content and type for a request's path, or None."""
        parts = target.split("?")[0].lstrip("/").split("/")
        if len(parts) < 2 or parts[0] not in self.models:
            return None
        model, inside = self.models[parts[0]], parts[1:]
        if inside == [""]:
            return index_page(model.name), TYPES[".html"]
        if len(inside) == 2 and inside[0] == "model":
            return self._model_file(model, inside[1])
        if len(inside) == 1 and PLAIN_NAME.fullmatch(inside[0]):
            return _netron_file(inside[0])
        return None

    @staticmethod
    def _model_file(model: Path, name: str) -> tuple[bytes, str] | None:
        # The model itself, and the external data that lies beside it under its name.
        beside = model.with_name(name)
        if not PLAIN_NAME.fullmatch(name) or not name.startswith(model.name) or not beside.is_file():
            return None
        return beside.read_bytes(), "application/octet-stream"


def index_page(model_name: str) -> bytes:
    """Netron's page for one model, without its clock and its reports."""
    page = (importlib.resources.files("netron") / "index.html").read_text("utf-8")
    # Version 0.0.0 is what Netron calls a build that reports to nobody; without its date it never expires.
    model = html.escape(model_name, quote=True)
    facts = (
        f'<meta name="type" content="Python"><meta name="version" content="0.0.0">'
        f'<meta name="file" content="model/{model}"><meta name="identifier" content="{model}">'
        f'<meta name="name" content="{model}">'
    )
    page, found = re.subn(r'<meta name="version" content="[^"]*">', lambda _: facts, page)
    page = re.sub(r'<meta name="date" content="[^"]*">', "", page)
    if not found:
        raise RuntimeError("this release of Netron has another page than the pinned one")
    return page.encode()


def _netron_file(name: str) -> tuple[bytes, str] | None:
    kind = TYPES.get(Path(name).suffix)
    file = importlib.resources.files("netron") / name
    return (file.read_bytes(), kind) if kind and file.is_file() else None


def _handler(server: NetronServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = server.find(self.path)
            content, kind = found or (b"not found", "text/plain")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            # Says yes to the consent that the page would otherwise ask the internet about.
            self.send_header("Set-Cookie", "consent=1; SameSite=Lax")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """A notebook is no place for a server's log."""

    return Handler


_running: NetronServer | None = None
_starting = threading.Lock()


def _server() -> NetronServer:
    """The kernel's one Netron server, started when it is first needed."""
    global _running
    with _starting:
        if _running is None:
            _running = NetronServer()
        return _running
