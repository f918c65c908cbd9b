"""Batches on a real event loop: who goes together, who fails alone, and who is told what when."""

import asyncio
import threading
import time
from collections.abc import Callable
from itertools import chain, count
from typing import Any

import numpy as np
import pytest

from helpers.engine import BatchSize, Scheduler
from helpers.engine.lane import ALONE, LOOK, TRY_AGAIN, Lane, answers_for
from helpers.wire.errors import EngineError

Arrays = list[np.ndarray]


def rows(*values: float) -> Arrays:
    return [np.array([[value] for value in values], np.float32)]


def lane_for(
    run: Callable[[Arrays], Arrays],
    quick: bool = True,
    gathers: bool = True,
    clock: Callable[[], float] = time.monotonic,
    varies: bool = False,
    **settings: Any,
) -> Lane:
    """A lane whose model is known to be quick, so that it runs on the loop; or to be slow."""
    size = BatchSize(16)
    size.learn(1, 1e-5 if quick else 1.0)
    lane = Lane(run, Scheduler(clock, size, **settings), varies=varies)
    lane._gathering = gathers
    return lane


class Doubler:
    """Doubles; remembers the sizes of its batches and the threads that it ran in; breaks on some numbers."""

    def __init__(self, *poison: float) -> None:
        self.poison = poison
        self.sizes: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, arrays: Arrays) -> Arrays:
        self.sizes.append(len(arrays[0]))
        self.threads.add(threading.current_thread().name)
        if np.isin(arrays[0], self.poison).any():
            raise ZeroDivisionError("poison")
        return arrays[0] * 2, arrays[0] + 1


async def test_requests_of_one_turn_of_the_loop_go_together_and_get_their_own_rows() -> None:
    run = Doubler()
    lane = lane_for(run)
    answers = await asyncio.gather(*(lane.ask(rows(n, n + 0.5), 2) for n in range(4)))
    assert run.sizes == [8] and run.threads == {threading.current_thread().name}
    for n, (doubled, plus) in enumerate(answers):
        assert doubled.tolist() == [[2 * n], [2 * n + 1]] and plus.tolist() == [[n + 1], [n + 1.5]]


@pytest.mark.parametrize(
    ("quick", "come", "batches"),
    [
        (True, [1, 1, 1, 0, 1, 1], [3, 2]),
        (True, [1, 0, 1, 0], [1, 1]),
        (True, [3, 4, 4, 4, 1, 0], [8, 8]),  # which is its limit
        (False, [1, 1, 1, 0], [1, 2]),
    ],
)
async def test_who_comes_in_the_next_turn_goes_along_while_there_is_room(
    quick: bool, come: list[int], batches: list[int]
) -> None:
    run = Doubler()
    lane = lane_for(run, quick=quick)
    lane.scheduler.size.learn = lambda *_: None  # type: ignore[method-assign]
    asked = []
    for number in come:
        asked += [asyncio.ensure_future(lane.ask(rows(n), 1)) for n in range(number)]
        await asyncio.sleep(0)
    await asyncio.gather(*asked)
    assert run.sizes == batches
    lane.close()


async def test_a_lone_request_for_a_quick_model_is_answered_on_the_spot() -> None:
    run = Doubler(13)
    lane = lane_for(run, gathers=False)
    for n in range(20):
        asked = lane.ask(rows(n), 1) if n != 13 else lane.ask(rows(14), 1)
        with pytest.raises(StopIteration) as answered:
            asked.send(None)  # it ends without waiting for anything
        assert answered.value.value[0].shape == (1, 1)
        await asyncio.sleep(0)
    assert run.sizes == [1] * 20 and not lane._gathering
    with pytest.raises(ZeroDivisionError):
        await lane.ask(rows(13), 1)


@pytest.mark.parametrize("before", [0, 1, 5, 6, 7, 8])
@pytest.mark.parametrize("company", [2, 3, 4, 5, 7, 8, 15, 16])
async def test_several_in_one_turn_gather_from_then_on_and_lone_ones_end_it(company: int, before: int) -> None:
    run, ticks = Doubler(), count()
    lane = lane_for(run, gathers=False, clock=lambda: 1e-5 * next(ticks))  # a batch costs no more than a row
    await asyncio.gather(*(lane.ask(rows(n), 1) for n in range(before)))
    await asyncio.sleep(0)
    lane._gathering, turns = False, 0
    run.sizes.clear()
    while not lane._gathering:
        turns += 1
        assert turns <= 3 * LOOK, "it is found out soon"
        await asyncio.gather(*(lane.ask(rows(n), 1) for n in range(company)))
        await asyncio.sleep(0)
    assert set(run.sizes) == {1}
    run.sizes.clear()
    await asyncio.gather(*(lane.ask(rows(n), 1) for n in range(company)))
    assert sum(run.sizes) == company and max(run.sizes) > 1
    lane._singles = 0  # the last of these may have been left over alone
    for n in range(ALONE):
        assert lane._gathering
        await lane.ask(rows(n), 1)
    assert not lane._gathering


async def test_where_company_does_not_pay_nobody_gathers_but_it_is_tried_again() -> None:
    run, now = Doubler(), 0.0

    def each_row_costs_as_much(arrays: Arrays) -> Arrays:
        nonlocal now
        now += 1e-5 * len(arrays[0])
        return run(arrays)

    lane = lane_for(each_row_costs_as_much, gathers=False, clock=lambda: now)
    for _ in range(3 * LOOK * TRY_AGAIN):
        await asyncio.gather(*(lane.ask(rows(n), 1) for n in range(4)))
        await asyncio.sleep(0)
    batches = sum(size > 1 for size in run.sizes)
    assert 2 <= batches <= 12 and run.sizes.count(1) > 50 * batches


async def test_a_slow_model_runs_in_its_thread_and_requests_gather_meanwhile() -> None:
    go, started = threading.Event(), asyncio.Event()
    loop, run = asyncio.get_running_loop(), Doubler()

    def slow(arrays: Arrays) -> Arrays:
        loop.call_soon_threadsafe(started.set)
        go.wait(10)
        return run(arrays)

    lane = lane_for(slow, quick=False)
    first = asyncio.ensure_future(lane.ask(rows(1), 1))
    await started.wait()
    others = [asyncio.ensure_future(lane.ask(rows(n), 1)) for n in (2, 3, 4)]
    await asyncio.sleep(0)  # the loop is free: they are in the queue
    assert lane.scheduler.queued_rows == 3
    go.set()
    found = await asyncio.gather(first, *others)
    assert [answer[0].tolist() for answer in found] == [[[2]], [[4]], [[6]], [[8]]]
    assert run.sizes == [1, 3] and all(name.startswith("lane-") for name in run.threads)
    lane.close()


@pytest.mark.parametrize("quick", [True, False])
async def test_only_the_poisoned_fail(quick: bool) -> None:
    run = Doubler(3, 5)
    lane = lane_for(run, quick)
    found = await asyncio.gather(*(lane.ask(rows(n), 1) for n in range(8)), return_exceptions=True)
    for n, answer in enumerate(found):
        if n in (3, 5):
            assert isinstance(answer, ZeroDivisionError)
        else:
            assert not isinstance(answer, BaseException) and answer[0].tolist() == [[2 * n]]
    lane.close()


async def test_a_full_queue_and_a_deadline_that_cannot_be_kept_are_refused() -> None:
    lane = lane_for(Doubler(), most_rows=2)
    waiting = asyncio.ensure_future(lane.ask(rows(1, 2), 2))
    await asyncio.sleep(0)
    with pytest.raises(EngineError, match="too many") as refused:
        await lane.ask(rows(3), 1)
    assert (await waiting)[0].tolist() == [[2], [4]]
    assert refused.value.status == 503 and refused.value.retry_after is not None
    with pytest.raises(EngineError, match="could not be answered in time") as refused:
        await lane_for(Doubler(), quick=False).ask(rows(1), 1, deadline=time.monotonic() + 0.1)
    assert refused.value.status == 504


async def test_who_waits_in_vain_is_told_while_the_model_is_still_busy() -> None:
    go = threading.Event()

    def stuck(arrays: Arrays) -> Arrays:
        go.wait(10)
        return arrays

    lane = Lane(stuck, Scheduler(time.monotonic))  # nothing is known of it yet, so everyone is let in
    first = asyncio.ensure_future(lane.ask(rows(1), 1))
    while not lane.batches:
        await asyncio.sleep(0)
    with pytest.raises(EngineError, match="ran out"):
        await lane.ask(rows(2), 1, deadline=time.monotonic() + 0.02)
    assert not first.done() and lane.scheduler.queued_rows == 0
    go.set()
    assert (await first)[0].tolist() == [[1]]
    lane.close()


async def test_what_was_cancelled_never_runs() -> None:
    run = Doubler()
    lane = lane_for(run)
    asked = [asyncio.ensure_future(lane.ask(rows(n), 1)) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError) and run.sizes in ([2], [3])
    assert found[2][0].tolist() == [[4]]  # type: ignore[index]


class Gate:
    """A model that several threads may enter; each waits there until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.inside: list[list[float]] = []
        self.most = self.now = 0
        self.lock = threading.Lock()

    def __call__(self, arrays: Arrays) -> Arrays:
        with self.lock:
            self.inside.append(arrays[0].ravel().tolist())
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go.wait(10)
        with self.lock:
            self.now -= 1
        return (arrays[0] * 2,)


def lane_of_threads(gate: Gate, threads: int) -> Lane:
    return Lane(gate, Scheduler(time.monotonic, BatchSize(4)), threads=threads)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("threads", [1, 2, 3])
async def test_as_many_batches_at_once_as_there_are_threads(threads: int) -> None:
    gate = Gate()
    lane = lane_of_threads(gate, threads)
    asked = []
    for number in range(12):
        asked.append(asyncio.ensure_future(lane.ask(rows(number), 1)))
        await until(lambda: len(gate.inside) == min(len(asked), threads))  # the first ones run alone
    await until(lambda: lane.scheduler.queued_rows == 12 - threads)
    assert sorted(gate.inside) == [[number] for number in range(threads)]
    gate.go.set()
    assert [answer[0].tolist() for answer in await asyncio.gather(*asked)] == [[[2 * n]] for n in range(12)]
    assert gate.most == threads and sorted(chain(*gate.inside)) == list(range(12))
    await lane.drain()


async def test_draining_waits_for_all_threads_and_all_who_wait() -> None:
    gate = Gate()
    lane = lane_of_threads(gate, 2)
    asked = [asyncio.ensure_future(lane.ask(rows(number), 1, kind=number % 3)) for number in range(9)]
    await until(lambda: len(gate.inside) == 2)
    draining = asyncio.ensure_future(lane.drain())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not draining.done() and lane.scheduler.queued_rows == 3
    gate.go.set()
    await draining
    assert all(each.done() for each in asked), "and nobody was left behind"
    assert [(await each)[0].tolist() for each in asked] == [[[2 * number]] for number in range(9)]


async def test_deadlines_are_watched_while_all_threads_are_busy_and_a_free_one_is_used() -> None:
    gate = Gate()
    lane = lane_of_threads(gate, 2)
    lane.scheduler.size.learn(1, 1.0)
    first = asyncio.ensure_future(lane.ask(rows(0), 1))
    await until(lambda: len(gate.inside) == 1)
    second = asyncio.ensure_future(lane.ask(rows(1), 1, deadline=time.monotonic() + 1.5))  # too late for one thread
    await until(lambda: len(gate.inside) == 2)
    with pytest.raises(EngineError, match="could not be answered in time"):
        await lane.ask(rows(2), 1, deadline=time.monotonic() + 0.01)
    lane.scheduler.size._seconds.clear()  # it knows nothing any more, and lets everyone in
    lane.scheduler.size._expected.clear()
    with pytest.raises(EngineError, match="ran out"):
        await lane.ask(rows(3), 1, deadline=time.monotonic() + 0.01)
    assert not first.done() and not second.done() and lane.scheduler.queued_rows == 0
    gate.go.set()
    await asyncio.gather(first, second)
    assert gate.inside == [[0], [1]]
    await lane.drain()


@pytest.mark.parametrize("quick", [True, False])
async def test_a_lane_that_is_flooded_leaves_turns_to_another(quick: bool) -> None:
    flooded, other = lane_for(Doubler(), quick, most_rows=10_000), lane_for(Doubler())
    flood = [asyncio.ensure_future(flooded.ask(rows(number), 1)) for number in range(2000)]
    await until(lambda: flooded.batches > 3)
    while flooded.scheduler.queued_rows:
        before = flooded.batches
        other._gathering = True  # it takes its turn, and is not answered on the spot
        await other.ask(rows(1), 1)
        assert flooded.batches - before <= 3
    await asyncio.gather(*flood)
    assert other.batches > 20
    flooded.close()


async def test_kinds_do_not_mix() -> None:
    run = Doubler()
    lane = lane_for(run)
    wide = [np.ones((1, 2), np.float32)]
    found = await asyncio.gather(lane.ask(rows(1), 1, kind=1), lane.ask(wide, 1, kind=2), lane.ask(rows(2), 1, kind=1))
    assert sorted(run.sizes) == [1, 2] and [answer[0].shape for answer in found] == [(1, 1), (1, 2), (1, 1)]


def test_a_model_that_loses_rows_is_found_out() -> None:
    with pytest.raises(EngineError, match="must not be batched") as raised:
        answers_for(lambda arrays: [arrays[0][:1]], [rows(1), rows(2)])
    assert raised.value.status == 500
    with pytest.raises(EngineError, match="must not be batched"):
        answers_for(lambda arrays: [np.float32(3)], [rows(1), rows(2)])  # type: ignore[list-item]


async def test_a_window_is_kept_by_a_lone_request_and_a_full_batch_does_not_wait_for_it() -> None:
    run = Doubler()
    lane = lane_for(run, gathers=False, window=0.05)
    lane.scheduler.size._limit = 4.0
    lone = asyncio.ensure_future(lane.ask(rows(1), 1))
    await asyncio.sleep(0)
    assert not run.sizes and lane.scheduler.queued_rows == 1
    await asyncio.gather(lone, *(lane.ask(rows(n), 1) for n in range(3)))
    assert run.sizes == [4]
    lane.scheduler.window, lane.scheduler.size._limit = 3600.0, 4.0
    await asyncio.gather(*(lane.ask(rows(n), 1) for n in range(4)))
    assert run.sizes == [4, 4]


async def test_where_the_system_has_no_thread_to_give_each_request_is_told_and_the_next_may_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, left = Doubler(), [3]
    start = threading.Thread.start

    def scarce(self: threading.Thread) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    lane = lane_for(run, quick=False)
    found = await asyncio.gather(lane.ask(rows(1), 1), lane.ask(rows(2), 1), return_exceptions=True)
    assert [str(each) for each in found] == ["can't start new thread"] * 2, "together, and each of them alone"
    doubled, _ = await lane.ask(rows(3), 1)
    assert doubled.tolist() == [[6]] and run.sizes == [1]
    lane.close()


class Fitful(Doubler):
    """Quick, and on 13 it takes a second of a clock that it holds itself."""

    now = 100.0

    def __call__(self, arrays: Arrays) -> Arrays:
        self.now += 1.0 if 13 in arrays[0] else 1e-5
        return super().__call__(arrays)


@pytest.mark.parametrize("gathers", [False, True])
async def test_a_method_that_kept_the_loop_once_does_not_do_so_again_for_long(gathers: bool) -> None:
    run = Fitful()
    lane = lane_for(run, gathers=gathers, clock=lambda: run.now, varies=True)
    here = threading.current_thread().name
    await lane.ask(rows(1), 1)
    await lane.ask(rows(13), 1)
    assert run.threads == {here}
    run.threads.clear()
    for _ in range(20):
        await lane.ask(rows(1), 1)
    assert here not in run.threads
    run.now += 1000.0
    run.threads.clear()
    await lane.ask(rows(1), 1)
    assert run.threads == {here}
    lane.close()


async def test_a_model_whose_time_depends_on_its_rows_alone_is_not_sent_away_for_one_pause() -> None:
    run = Fitful()
    lane = lane_for(run, gathers=False, clock=lambda: run.now)
    for value in (1, 2, 13, 1, 2):
        await lane.ask(rows(value), 1)
    assert run.threads == {threading.current_thread().name}
    lane.close()
