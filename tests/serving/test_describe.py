"""The description: what it says is so, and what it shows can be used.

The page's forms are tested in a browser, in ``tests/browser``.
"""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from helpers.engine import Tensor, api, service
from helpers.serving import Server, serve
from helpers.serving.describe.schemas import JsonTypes, example
from helpers.wire.values import JsonValue
from tests.engine.served import store_with_two_versions
from tests.serving.test_schemathesis import Everything, Order

QUOTED = "it's <script>alert('$HOME `x`')</script>"


@service
class Awkward:
    """What could break a page: markup, quotes, much data."""

    @api
    def quote(self, it: Annotated[Literal[QUOTED], msgspec.Meta(description="<b>'\"&")]) -> str:
        """Says <i>it</i>.

        And $(more) of it.
        """
        return it

    @api
    def size(self, photo: Tensor["float32", "batch", 3, 64, 64]) -> int:
        return photo.size

    @api
    def nothing(self) -> None:
        return None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with serve(Everything, Awkward, "net:prod", store=store_with_two_versions(folder)) as made:
        yield made


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=10) as made:
        yield made


def operations(client: httpx.Client) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, told in methods.items():
            yield method.upper(), path, told


class Page(HTMLParser):
    """What a reader without JavaScript has: headings, commands, fields and their labels, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.fields: list[str] = []
        self.labels: set[str] = set()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.commands = [unescape(each) for each in re.findall(r"<pre [^>]*><code>(.*?)</code></pre>", text, re.S)]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.addresses += [given[name] for name in ("src", "href", "action") if name in given]
        if "id" in given:
            self.ids.append(given["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("input", "select", "textarea"):
            self.fields.append(given["id"])
        if tag == "label":
            self.labels.add(given["for"])


def test_what_is_served_is_described_and_what_is_not_is_not(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/largest", "/price", "/wait", "/tasks/{task}", "/v2/models/net/infer", "/v1/models/net:predict"} <= set(
        paths
    )
    with serve(Awkward) as alone:
        described = httpx.get(f"{alone.address}/openapi.json").json()["paths"]
    assert "/quote" in described and not any("tasks" in path or "largest" in path for path in described)


def test_a_model_that_is_loaded_later_is_described_then(tmp_path: Path) -> None:
    store = store_with_two_versions(tmp_path)
    with serve("net:prod", store=store) as server, httpx.Client(base_url=server.address) as client:
        assert client.post("/v2/repository/models/net/unload").status_code == 200
        assert not any("net" in path for path in client.get("/openapi.json").json()["paths"])
        assert client.post("/v2/repository/models/net/load").status_code == 200
        assert "/v2/models/net/versions/2/infer" in client.get("/openapi.json").json()["paths"]


def test_every_example_works_and_fits_its_schema(client: httpx.Client) -> None:
    components = client.get("/openapi.json").json()["components"]
    asked = 0
    for method, path, told in operations(client):
        for kind, media in told.get("requestBody", {}).get("content", {}).items():
            if "example" not in media:
                continue
            body, path = media["example"], path.replace("{label}", "prod")
            content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
            answer = client.request(method, path, content=content, headers={"content-type": kind})
            assert answer.is_success, (path, answer.text)
            Draft202012Validator({**media["schema"], "components": components}).validate(body)
            asked += 1
    assert asked > 20


def test_a_long_example_is_at_a_path_of_its_own(client: httpx.Client) -> None:
    (told,) = (told for _, path, told in operations(client) if path == "/size")
    assert "example" not in told["requestBody"]["content"]["application/json"]
    body = client.get("/docs/example/size")
    assert np.shape(body.json()["photo"]) == (1, 3, 64, 64)
    assert client.post("/size", content=body.content).json() == 3 * 64 * 64
    assert client.get("/docs/example/none").status_code == 404


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="no curl on this machine")
def test_every_command_of_the_page_can_be_run(client: httpx.Client) -> None:
    commands = Page(client.get("/docs").text).commands
    asked = [each for each in commands if not re.search("TASK|NAME", each)]
    assert len(asked) > 30
    for each in asked:
        each = each.replace("LABEL", "prod").replace("curl ", "curl -sf ")
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {each}"], capture_output=True)
        assert done.returncode == 0, (each, done.stderr)
        assert not each.endswith("/quote") or msgspec.json.decode(done.stdout) == QUOTED


def test_the_page_is_whole_and_can_be_used_by_keyboard_and_screen_reader(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Page(answer.text)
    assert page.headings[:2] == [1, 2]
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert set(page.fields) <= page.labels <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert all(each.startswith(("docs/example/", "openapi.json", "data:,")) for each in page.addresses)
    assert page.tags.count("script") == 1 and "i" not in page.tags  # what the services say is no markup
    for method, path, _ in operations(client):
        assert f"<code><b>{method}</b> {path}</code>" in answer.text


def test_another_host_is_not_believed(client: httpx.Client) -> None:
    text = client.get("/docs", headers={"host": "x'$(reboot)<b>"}).text
    assert "reboot" not in text and "http://localhost:3000" in text


def test_the_first_page(client: httpx.Client) -> None:
    answer = client.get("/", headers={"accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert client.head("/").status_code == 200 and client.head("/", headers={"accept": "text/html"}).is_redirect
    found = client.get("/").json()
    assert found["status"] == "alive" and {"/docs", "/openapi.json", "/largest", "/v2", "/livez"} <= {*found["paths"]}
    answer = client.get("/none")
    assert answer.status_code == 404 and answer.json()["code"] == "not_found"
    assert all(f" {each}" in answer.json()["error"] for each in ("/docs", "/largest", "/v2", "/livez"))
    assert client.post("/docs").status_code == client.post("/").status_code == 405
    assert client.get("/openapi.json/more").status_code == client.get("/docs/more").status_code == 404


class Leaf(msgspec.Struct):
    left: "Leaf | None"
    right: "list[Leaf]"
    name: Annotated[str, msgspec.Meta(min_length=2)]
    size: Annotated[int, msgspec.Meta(ge=3)]
    pair: tuple[int, str]


@pytest.mark.parametrize("type_", [int, float, str, bool, None, list[int], dict[str, int], Order, Leaf, Any])
def test_an_example_is_what_msgspec_takes(type_: Any) -> None:
    types = JsonTypes([value := JsonValue(type_, "x")])
    made = example(types.of(value, asked=True), types.components)
    msgspec.json.decode(msgspec.json.encode(made), type=type_)
