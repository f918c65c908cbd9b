"""The kit's own client: what goes and comes, and what it says when a server refuses."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from helpers.engine import Tensor, api, service
from helpers.serving import AsyncClient, Client, Server, ServiceError, serve
from helpers.serving.client import _Events


@service(most_waiting=1)
class Asked:
    @api
    def double(self, rows: Tensor["float32", "n", 2]) -> Tensor["float32", "n", 2]:
        return rows * 2

    @api
    def echo(self, api: str, self_: Any = None, values: list[float] | None = None) -> list[Any]:
        return [api, self_, values]

    @api
    def stream(self) -> str:
        return "an API may be called like a method of the client"

    @api
    def counted(self, rows: Tensor["int64", "n"]) -> Iterator[int]:
        yield from rows.tolist()

    @api
    def broken(self) -> None:
        raise KeyError("secret")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Asked) as running:
        yield running


ROWS = np.array([[1, 2], [3, 4]], np.float32)


def test_arrays_go_and_come_as_arrays(server: Server) -> None:
    with Client(server.address) as client:
        for rows in (ROWS, ROWS.T, ROWS[::-1], ROWS.astype(">f4"), np.asfortranarray(ROWS)):
            found = client.double(rows)
            assert isinstance(found, np.ndarray) and found.dtype == np.float32
            assert found.tolist() == (rows * 2).tolist()
            found += 1  # it is the caller's own
        assert client.double(rows=ROWS) == client.double(rows=ROWS.tolist()) == (ROWS * 2).tolist()
        assert (
            list(client.stream("counted", np.arange(3)))
            == list(client.stream("counted", rows=np.arange(3)))
            == [0, 1, 2]
        )


def test_any_name_can_be_a_parameter_or_an_api(server: Server) -> None:
    with Client(server.address) as client:
        assert client.echo(api="x", self_={"a": [np.float32(0.5), np.int8(3)]}) == ["x", {"a": [0.5, 3]}, None]
        assert client.echo(api="x", values=np.arange(2)) == ["x", None, [0, 1]]
        assert client.call("stream").startswith("an API may")


async def test_the_asynchronous_one_does_the_same_for_many_at_once(server: Server) -> None:
    async with AsyncClient(server.address) as client:
        assert (await client.double(ROWS)).tolist() == await client.double(rows=ROWS) == (ROWS * 2).tolist()
        assert [item async for item in client.stream("counted", np.arange(3))] == [0, 1, 2]
        found = await asyncio.gather(*(client.call("stream") for _ in range(20)), return_exceptions=True)
        assert {str(each)[:3] for each in found} <= {"an ", "503"}
        with pytest.raises(ServiceError, match="rows is missing"):
            await client.double()
        with pytest.raises(ServiceError, match="rows is missing"):
            [item async for item in client.stream("counted")]


@pytest.mark.parametrize(
    ("api", "given", "status", "code", "field"),
    [
        ("double", {}, 422, "invalid_input", "rows"),
        ("double", {"rows": [[1, 2, 3]]}, 422, "invalid_input", "rows"),
        ("nothing", {}, 404, "not_found", None),
        ("broken", {}, 500, "internal", None),
        ("v2/models/x/infer", {}, 404, "not_found", None),
    ],
)
def test_what_is_refused_says_why(
    server: Server, api: str, given: Any, status: int, code: str, field: str | None
) -> None:
    with pytest.raises(ServiceError) as refused:
        server.client.call(api, **given)
    error = refused.value
    assert (error.status, error.code, error.field) == (status, code, field)
    assert str(error).startswith(f"{status} {code}: ") and "secret" not in str(error)


def test_what_cannot_be_sent_is_told_before_it_is(server: Server) -> None:
    for given in ((ROWS, ROWS), ([1, 2],), (3,)):
        with pytest.raises(TypeError, match="only a single array can be sent without a name"):
            server.client.double(*given)
    with pytest.raises(TypeError, match="no array of numbers"):
        server.client.double(np.array(["a"]))
    with pytest.raises(TypeError, match="cannot hold a object"):
        server.client.echo(api=object())
    with pytest.raises(AttributeError):
        server.client._repr_html_  # noqa: B018  (notebooks ask for such names)


def test_an_answer_of_another_server_is_shown_as_it_is() -> None:
    def elsewhere(request: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text="<h1>Bad gateway</h1>")

    with Client("http://example.invalid") as client:
        client.http.close()
        client.http = httpx.Client(base_url="http://example.invalid", transport=httpx.MockTransport(elsewhere))
        with pytest.raises(ServiceError, match="502 : <h1>Bad gateway"):
            client.anything()


def test_a_server_has_one_client_and_takes_it_with_it() -> None:
    before = threading.active_count()
    with serve(Asked) as server:
        assert server.client is server.client
        client = server.client
        client.double(ROWS)
    assert client.http.is_closed and threading.active_count() == before


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_whole_however_they_arrive(size: int) -> None:
    raw = 'data: a\ndata: ü\u2028\n\nevent: json\ndata: {"b":1}\n\ndata: \n\nevent: end\ndata: \n\n'.encode()
    events = _Events()
    items = [item for start in range(0, len(raw), size) for item in events.take(raw[start : start + size])]
    assert items == ["a\nü\u2028", {"b": 1}, ""]
    events.expect_end()
    unfinished = _Events()
    assert list(unfinished.take(raw[:30])) == ["a\nü\u2028"]
    with pytest.raises(ServiceError, match="broke off"):
        unfinished.expect_end()
