"""The application without a server of ours: opened, asked and closed by others, as ASGI says."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers.engine import Batching, Tensor, api, service, task
from helpers.serving import Application
from tests.engine.served import store_with_two_versions


@service
class Twice:
    @api(batching=Batching())
    def twice(self, rows: Tensor["float32", "batch", 2]) -> Tensor["float32", "batch", 2]:
        return 2 * rows

    @task
    def later(self, number: int) -> int:
        return number


@service
class Broken:
    def __init__(self) -> None:
        raise OSError("the disk is gone")

    @api
    def never(self) -> int:
        return 1


def lanes_of_this_process() -> set[str]:
    # The event loop keeps some of its own for what was handed to a thread; how many depends on the moment.
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def ask(application: Application, method: str, path: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(application)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.request(method, path, **more)


async def test_it_is_asked_on_the_loop_that_opened_it(tmp_path: Path) -> None:
    before = lanes_of_this_process()
    application = Application([Twice, "net"], store_with_two_versions(tmp_path))
    assert (await ask(application, "GET", "/readyz")).status_code == 503
    await application.open()
    assert (await ask(application, "GET", "/readyz")).json() == {"ready": True}
    answers = await asyncio.gather(*(ask(application, "POST", "/twice", json={"rows": [[n, 1]]}) for n in range(20)))
    assert [answer.json() for answer in answers] == [[[2.0 * n, 2.0]] for n in range(20)]
    assert (await ask(application, "GET", "/v2/models/net")).json()["name"] == "net"
    assert "/twice" in (await ask(application, "GET", "/openapi.json")).json()["paths"]
    await application.close()
    assert (await ask(application, "GET", "/readyz")).status_code == 503
    assert lanes_of_this_process() <= before, "its threads are gone"


async def test_what_cannot_start_says_so_to_whoever_starts_it() -> None:
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await Application([Broken])({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in told] == ["lifespan.startup.failed"]
    assert "the disk is gone" in told[0]["message"] and "Traceback" not in told[0]["message"]


async def test_a_folder_for_tasks_is_made_when_one_is_submitted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    application = Application([Twice])
    await application.open()
    assert (await ask(application, "POST", "/twice", json={"rows": [[1, 2]]})).status_code == 200
    await application.close()
    assert not list(tmp_path.iterdir()), "and none when it ends"
