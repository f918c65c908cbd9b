"""Batches of services: who goes together, who fails alone, and nobody gets another's rows."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.engine import Batching, Table, Tensor, api, service
from helpers.serving import AsyncClient, Server, ServiceError, serve


class Gate:
    """Holds a method's first call until it is opened, so that others gather; and remembers what each call got."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.calls: list[Any] = []

    def pass_through(self, what: Any) -> None:
        self.calls.append(what)
        self.entered.set()
        assert self.open.wait(20)


gate = Gate()


@service(most_waiting=64)
class Batched:
    @api(batching=Batching(largest=16))
    def arrays(self, rows: Tensor["float32", "n", "width"], weights: Tensor["float32", "n"]) -> Tensor["float32", "n"]:
        gate.pass_through(rows.shape)
        if (rows == -1).any():
            raise ZeroDivisionError("poison")
        return rows.sum(1) * weights

    @api(batching=Batching(largest=16))
    def lists(self, texts: list[str], numbers: list[int]) -> tuple[list[str], list[int]]:
        gate.pass_through(len(texts))
        if "poison" in texts:
            raise ZeroDivisionError
        return [text.upper() for text in texts], [2 * number for number in numbers]

    @api(batching=Batching(largest=16))
    def tables(self, people: Table[{"age": "int64", "city": "str"}]) -> Table[{"older": "int64", "city": "str"}]:
        gate.pass_through(len(people["age"]))
        if (people["age"] < 0).any():
            raise ZeroDivisionError
        return {"older": people["age"] + 1, "city": people["city"]}

    @api(batching=Batching(largest=16))
    def forgetful(self, numbers: list[int]) -> list[int]:
        return numbers[1:]

    @api(batching=Batching(largest=16))
    def silent(self, numbers: list[int]) -> dict[str, Any]:
        gate.pass_through(len(numbers))
        return {}

    @api
    def alone(self, numbers: list[int]) -> list[int]:
        gate.pass_through(len(numbers))
        return numbers


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(Batched) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    gate.__init__()  # type: ignore[misc]
    yield
    gate.open.set()


async def ask_behind_the_first(server: Server, api: str, first: Any, others: list[Any]) -> list[Any]:
    """The others' answers, all of which waited while the first was in the method."""
    lane = server.lanes()["Batched", api]
    lane._is_quick = lambda rows: False  # type: ignore[method-assign]  # in its thread, however quick it has been
    async with AsyncClient(server.address) as client:
        asked = [asyncio.ensure_future(client.call(api, **first))]
        await asyncio.to_thread(gate.entered.wait, 10)
        asked += [asyncio.ensure_future(client.call(api, **other)) for other in others]
        rows = sum(len(next(iter(other.values()))) for other in others)
        while lane.scheduler.queued_rows < rows:
            await asyncio.sleep(0.001)
        gate.open.set()
        return (await asyncio.gather(*asked, return_exceptions=True))[1:]


async def test_arrays_of_one_shape_go_together(server: Server) -> None:
    def arrays(n: int, width: int) -> dict[str, Any]:
        return {"rows": np.full((n, width), n, np.float32), "weights": np.arange(n, dtype=np.float32)}

    found = await ask_behind_the_first(
        server, "arrays", arrays(1, 3), [arrays(2, 3), arrays(3, 3), arrays(4, 5), arrays(1, 3)]
    )
    assert found == [[0, 6], [0, 9, 18], [0, 20, 40, 60], [0]]
    assert gate.calls[0] == (1, 3) and sorted(gate.calls[1:]) == [(4, 5), (6, 3)]


async def test_lists_go_together(server: Server) -> None:
    def lists(*texts: str) -> dict[str, Any]:
        return {"texts": texts, "numbers": [len(text) for text in texts]}

    found = await ask_behind_the_first(server, "lists", lists("x"), [lists("a"), lists("bb", "c"), lists("ddd")])
    assert found == [[["A"], [2]], [["BB", "C"], [4, 2]], [["DDD"], [6]]] and gate.calls == [1, 4]


async def test_tables_go_together(server: Server) -> None:
    def table(*ages: int) -> dict[str, Any]:
        return {"people": [{"age": age, "city": f"of {age}"} for age in ages]}

    found = await ask_behind_the_first(server, "tables", table(0), [table(1), table(2, 3), table(4)])
    assert found == [[{"older": age + 1, "city": f"of {age}"} for age in ages] for ages in ((1,), (2, 3), (4,))]
    assert gate.calls == [1, 4]


async def test_what_is_not_batched_goes_alone(server: Server) -> None:
    lane = server.lanes()["Batched", "alone"]
    async with AsyncClient(server.address) as client:
        asked = [asyncio.ensure_future(client.alone(numbers=[n, n])) for n in range(4)]
        while lane.scheduler.queued_rows < 3:
            await asyncio.sleep(0.001)
        gate.open.set()
        assert await asyncio.gather(*asked) == [[n, n] for n in range(4)]
    assert gate.calls == [2] * 4
    assert not lane.scheduler.size.pays, "so it never waits for company"


async def test_only_the_poisoned_fail(server: Server) -> None:
    def lists(text: str) -> dict[str, Any]:
        return {"texts": [text], "numbers": [1]}

    found = await ask_behind_the_first(
        server, "lists", lists("x"), [lists(text) for text in ("a", "poison", "b", "c", "poison", "d")]
    )
    for text, answer in zip("a!bc!d", found, strict=True):
        if text == "!":
            assert isinstance(answer, ServiceError) and answer.status == 500
        else:
            assert answer == [[text.upper()], [2]]


@pytest.mark.parametrize("together", [False, True])
async def test_a_method_that_loses_rows_is_found_out_alone_and_in_company(server: Server, together: bool) -> None:
    api = "silent" if together else "forgetful"
    if together:
        found = await ask_behind_the_first(server, api, {"numbers": [0]}, [{"numbers": [1]}, {"numbers": [2]}])
    else:
        async with AsyncClient(server.address) as client:
            found = await asyncio.gather(client.forgetful(numbers=[1, 2]), return_exceptions=True)
    assert {answer.status for answer in found} == {500}


@pytest.mark.parametrize(
    ("api", "given", "status", "said"),
    [
        ("lists", {"texts": [], "numbers": []}, 422, "texts is empty"),
        ("lists", {"texts": ["a"], "numbers": [1, 2]}, 422, "numbers is 2 rows long; expected as many as texts has"),
        ("lists", {"texts": ["a"] * 65, "numbers": [1] * 65}, 413, "65 rows are more than the 64 that may wait"),
        ("arrays", {"rows": np.ones((2, 3)), "weights": np.ones(3)}, 422, "weights is 3 rows long"),
        ("arrays", {"rows": np.ones((65, 3)), "weights": np.ones(65)}, 413, "65 rows are more than the 64"),
    ],
)
async def test_what_cannot_be_a_batch_is_refused_before_it_waits(
    server: Server, api: str, given: dict[str, Any], status: int, said: str
) -> None:
    async with AsyncClient(server.address) as client:
        with pytest.raises(ServiceError, match=said) as refused:
            await client.call(api, **given)
    assert refused.value.status == status and not gate.calls


async def test_more_rows_than_largest_are_answered_in_one(server: Server) -> None:
    gate.open.set()
    async with AsyncClient(server.address) as client:
        found = await client.lists(texts=["a"] * 40, numbers=list(range(40)))
    assert found[1] == list(range(0, 80, 2)) and gate.calls == [40]


REQUESTS = st.lists(
    st.tuples(st.sampled_from(["arrays", "lists", "tables"]), st.integers(1, 5), st.integers(1, 3), st.booleans()),
    min_size=2,
    max_size=24,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS, st.booleans())
def test_nobody_gets_another_rows(server: Server, requests: list[tuple[str, int, int, bool]], in_threads: bool) -> None:
    gate.open.set()

    async def ask(client: AsyncClient, place: int, kind: str, rows: int, width: int, poisoned: bool) -> None:
        own = [1000 * place + row for row in range(rows)]
        given: dict[str, Any]
        wanted: Any
        if kind == "arrays":
            values = np.repeat(np.array(own, np.float32)[:, None], width, 1)
            given = {"rows": values * (1 - 2 * poisoned) - poisoned, "weights": np.ones(rows, np.float32)}
            given["rows"][0, 0] = -1 if poisoned else own[0]
            wanted = [number * width for number in own]
        elif kind == "lists":
            given = {"texts": ["poison" if poisoned else f"of {number}" for number in own], "numbers": own}
            wanted = [[f"OF {number}" for number in own], [2 * number for number in own]]
        else:
            given = {"people": {"age": [-1 if poisoned else number for number in own], "city": [f"{own}"] * rows}}
            wanted = [{"older": number + 1, "city": f"{own}"} for number in own]
        try:
            answer = await client.call(kind, **given)
        except ServiceError as error:
            assert poisoned and error.status == 500
        else:
            assert not poisoned and answer == wanted

    async def all_of_them() -> None:
        async with AsyncClient(server.address) as client:
            await asyncio.gather(*(ask(client, place, *request) for place, request in enumerate(requests)))

    for name in ("arrays", "lists", "tables"):
        lane = server.lanes()["Batched", name]
        lane._is_quick = lambda rows: not in_threads  # type: ignore[method-assign]
        lane._gathering = True
    asyncio.run(all_of_them())
    assert all(lane.scheduler.queued_rows == 0 for lane in server.lanes().values())
