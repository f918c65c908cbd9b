"""Batching on paper: every arrival answered once, in time, and as the engine's own scheduler would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.bench.batching import Cost, in_a_window, one_at_a_time, poisson, simulate, when_busy
from helpers.engine import BatchSize, Job, Scheduler

COST = Cost(0.004, 0.0005)
moments = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=60)
policies = st.sampled_from([one_at_a_time, when_busy(8), in_a_window(0.01, 8), in_a_window(0.5, 4)])


@given(moments, policies)
def test_everyone_is_answered_once_after_arriving_and_no_two_batches_overlap(arrivals: list[float], policy) -> None:  # type: ignore[no-untyped-def]
    timeline = simulate(arrivals, policy, COST)
    assert sorted(arrived for batch in timeline.batches for arrived in batch.arrivals) == sorted(arrivals)
    assert all(batch.started >= max(batch.arrivals) for batch in timeline.batches)
    for before, after in zip(timeline.batches, timeline.batches[1:], strict=False):
        assert after.started >= before.ended
    assert len(timeline.latencies) == len(arrivals) and timeline.latencies.min() >= COST(1) - 1e-9


@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=60, unique=True))
def test_when_busy_does_what_the_engines_scheduler_does(arrivals: list[float]) -> None:
    now = [0.0]
    size = BatchSize(8)
    size._limit = 8.0
    scheduler = Scheduler(lambda: now[0], size)
    expected, coming, free_at = [], sorted(arrivals), 0.0
    while coming or scheduler.queued_rows:
        now[0] = max(free_at, coming[0]) if not scheduler.queued_rows else free_at
        while coming and coming[0] <= now[0]:
            scheduler.admit(Job(1, work=coming.pop(0)))
        batch = scheduler.take()
        expected.append([job.work for job in batch])
        free_at = now[0] + COST(len(batch))
        scheduler._running.clear()  # its clock stands still, so that it learns nothing
    found = [list(batch.arrivals) for batch in simulate(arrivals, when_busy(8), COST).batches]
    assert found == expected


def test_a_lone_request_waits_out_the_window_and_not_when_busy() -> None:
    assert simulate([0.0], in_a_window(0.05, 8), COST).latencies == pytest.approx([0.05 + COST(1)])
    assert simulate([0.0], when_busy(8), COST).latencies == pytest.approx([COST(1)])


def test_a_full_batch_does_not_wait_for_its_window() -> None:
    timeline = simulate([0.0, 0.001, 0.002, 0.003], in_a_window(1.0, 4), COST)
    assert len(timeline.batches) == 1 and timeline.batches[0].started == 0.003


def test_a_policy_that_asks_for_too_much_or_waits_for_ever_is_told() -> None:
    with pytest.raises(ValueError, match="answered 2; 1 were waiting"):
        simulate([0.0], lambda now, waiting: 2, COST)
    with pytest.raises(ValueError, match="left 2 waiting"):
        simulate([0.0, 0.1], lambda now, waiting: 0, COST)


def test_poisson_arrivals_come_at_their_rate_and_are_seeded() -> None:
    arrivals = poisson(100, 20_000, np.random.default_rng(0))
    assert arrivals == poisson(100, 20_000, np.random.default_rng(0))
    assert len(arrivals) / arrivals[-1] == pytest.approx(100, rel=0.03)
    assert arrivals == sorted(arrivals)
