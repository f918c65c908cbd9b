"""What is served here: ``/openapi.json`` for programs, and ``/docs`` for people, who need no internet for it."""

import math
from collections.abc import Sequence

import msgspec

from helpers.engine.endpoint import Endpoint
from helpers.serving.app import App
from helpers.serving.describe.document import document
from helpers.serving.describe.operations import JSON
from helpers.serving.describe.page import CONTENT_POLICY, page
from helpers.serving.exchange import Answer, Request
from helpers.wire.errors import EngineError

HTML = b"text/html; charset=utf-8"


def add_to(app: App, endpoints: Sequence[Endpoint]) -> None:
    """Let an application describe itself: these APIs, and whichever models are loaded by then."""

    async def openapi(request: Request) -> Answer:
        _expect(request, [])
        return Answer([msgspec.json.encode(document(endpoints, app.registry))])

    async def docs(request: Request) -> Answer:
        if request.path[:1] == ["example"]:
            return _example("/".join(["", *request.path[1:]]), request)
        _expect(request, [], [""])
        host = request.header(b"host")
        content = page(document(endpoints, app.registry), host)
        return Answer([content.encode()], content_type=HTML, headers=[(b"content-security-policy", CONTENT_POLICY)])

    def _example(path: str, request: Request) -> Answer:
        request.expect_method("GET", "HEAD")
        described = document(endpoints, app.registry, math.inf)["paths"].get(path, {}).get("post", {})
        content = described.get("requestBody", {}).get("content", {}).get(JSON)
        if content is None:
            raise EngineError("not_found", f"there is no example for {path[:80]}")
        return Answer([msgspec.json.encode(content["example"])])

    async def root(request: Request) -> Answer:
        """A browser is led to the page; a program gets the paths, and what KServe's first protocol asks here."""
        request.expect_method("GET", "HEAD")
        if "text/html" in request.header(b"accept"):
            return Answer(status=307, headers=[(b"location", b"/docs"), (b"vary", b"accept")], content_type=HTML)
        paths = [f"/{name}" for name in app.routes if name]
        return Answer([msgspec.json.encode({"status": "alive", "paths": paths})], headers=[(b"vary", b"accept")])

    app.routes |= {"": root, "openapi.json": openapi, "docs": docs}


def _expect(request: Request, *paths: list[str]) -> None:
    if request.path not in paths:
        raise EngineError("not_found", "nothing answers below /openapi.json and /docs; they themselves do")
    request.expect_method("GET", "HEAD")
