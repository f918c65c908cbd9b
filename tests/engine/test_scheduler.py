"""The scheduler, on a clock that the test moves: rows conserved, nobody starved, deadlines kept that can be."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from helpers.engine import BatchSize, Job, Refused, Scheduler
from helpers.engine.job import PATIENCE


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def known(clock: Clock, a_row: float = 0.01, largest: int = 8) -> Scheduler:
    """A scheduler that knows what a row costs."""
    size = BatchSize(largest)
    for rows in (1, 2, 4, 8):
        size.learn(rows, a_row * rows)
    return Scheduler(clock, size)


def admitted(scheduler: Scheduler, *jobs: Job) -> list[Job]:
    for job in jobs:
        scheduler.admit(job)
    return list(jobs)


def test_a_lone_request_runs_at_once(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    (job,) = admitted(scheduler, Job(rows=1))
    assert scheduler.due_at() is not None and scheduler.take() == [job]
    assert scheduler.take() == [] and scheduler.due_at() is None and scheduler.queued_rows == 0


def test_what_gathers_while_it_is_busy_goes_together(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    first = admitted(scheduler, Job(rows=1))
    running = scheduler.take()
    others = admitted(scheduler, *(Job(rows=2) for _ in range(3)))
    clock.now += 0.01
    scheduler.finish(running)
    assert running == first and scheduler.take() == others


def test_a_batch_is_counted_in_rows_and_a_large_request_still_goes(clock: Clock) -> None:
    scheduler = Scheduler(clock, BatchSize(4))
    jobs = admitted(scheduler, Job(rows=3), Job(rows=2), Job(rows=50), Job(rows=1))
    assert [scheduler.take() for _ in range(4)] == [[jobs[0]], [jobs[1]], [jobs[2]], [jobs[3]]]


def test_only_one_kind_goes_together(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    a, b, c = admitted(scheduler, Job(1, kind="v1"), Job(1, kind="v2"), Job(1, kind="v1"))
    assert [scheduler.take(), scheduler.take()] == [[a, c], [b]]


def test_the_most_urgent_goes_first(clock: Clock) -> None:
    scheduler = Scheduler(clock, BatchSize(1))
    jobs = admitted(scheduler, Job(1, deadline=109), Job(1), Job(1, deadline=103), Job(1, deadline=105))
    assert [scheduler.take()[0] for _ in jobs] == [jobs[2], jobs[3], jobs[0], jobs[1]]


def test_company_does_not_make_the_urgent_one_late(clock: Clock) -> None:
    scheduler = known(clock, a_row=0.01)
    urgent, patient, third = admitted(scheduler, Job(1, deadline=100.015), Job(1, deadline=109), Job(1))
    assert scheduler.take() == [urgent] and scheduler.take() == [patient, third]


def test_who_is_late_in_any_case_has_no_say(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    late, other = admitted(scheduler, Job(1, deadline=100.001), Job(1))
    scheduler.size.learn(1, 0.5)
    assert scheduler.take() == [late, other]


def test_who_has_no_deadline_does_not_wait_for_ever(clock: Clock) -> None:
    scheduler = Scheduler(clock, BatchSize(1))
    (patient,) = admitted(scheduler, Job(1))
    for step in range(200):
        scheduler.admit(Job(1, deadline=clock.now + 1.0))
        clock.now += 0.1
        if scheduler.take() == [patient]:
            assert step * 0.1 <= PATIENCE
            return
        scheduler.dropped()
    pytest.fail("the patient one starved")


def test_a_full_queue_refuses_and_says_when_to_come_back(clock: Clock) -> None:
    scheduler = known(clock)
    scheduler.most_rows = 10
    admitted(scheduler, Job(rows=6), Job(rows=4))
    with pytest.raises(Refused) as refused:
        scheduler.admit(Job(rows=1))
    assert refused.value.reason == "full" and refused.value.retry_after == pytest.approx(0.1, rel=0.3)
    scheduler.take()
    scheduler.admit(Job(rows=1))


def test_who_cannot_make_it_is_told_at_once(clock: Clock) -> None:
    scheduler = known(clock, a_row=0.01)
    admitted(scheduler, *(Job(rows=8, deadline=clock.now + 5) for _ in range(5)))
    with pytest.raises(Refused) as refused:
        scheduler.admit(Job(rows=1, deadline=clock.now + 0.005))
    assert refused.value.reason == "late"
    scheduler.admit(Job(rows=1, deadline=clock.now + 0.05))  # more urgent than all that wait, so it can
    with pytest.raises(Refused):
        scheduler.admit(Job(rows=8, deadline=clock.now + 0.06))


def test_what_runs_now_counts(clock: Clock) -> None:
    scheduler = known(clock, a_row=0.1)
    scheduler.admit(Job(rows=8))
    running = scheduler.take()
    with pytest.raises(Refused, match="late"):
        scheduler.admit(Job(rows=1, deadline=clock.now + 0.5))
    clock.now += 0.7
    scheduler.admit(Job(rows=1, deadline=clock.now + 0.5))
    scheduler.finish(running)


def test_what_is_cancelled_or_expired_never_runs_and_is_told_once(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    gone, late, good = admitted(scheduler, Job(1), Job(1, deadline=clock.now + 1), Job(1))
    scheduler.cancel(gone)
    clock.now += 2
    assert scheduler.take() == [good]
    assert set(scheduler.dropped()) == {gone, late} and scheduler.dropped() == []
    assert scheduler.queued_rows == 0


def test_a_batch_of_which_all_have_gone_is_skipped(clock: Clock) -> None:
    scheduler = Scheduler(clock, BatchSize(1))
    first, second = admitted(scheduler, Job(1, deadline=clock.now + 1), Job(1))
    clock.now += 2
    assert scheduler.take() == [second] and scheduler.dropped() == [first]


@given(st.integers(2, 40), st.data())
def test_whoever_breaks_a_batch_is_found_and_fails_alone(count: int, data: Any) -> None:
    clock = Clock()
    scheduler = Scheduler(clock, BatchSize(64), most_rows=10_000)
    scheduler.size._limit = 64.0
    jobs = admitted(scheduler, *(Job(1) for _ in range(count)))
    poisoned = set(data.draw(st.sets(st.sampled_from(range(count)), max_size=4)))
    answered, failed, runs = [], [], 0
    while batch := scheduler.take():
        runs += 1
        clock.now += 0.001
        if any(jobs.index(job) in poisoned for job in batch):
            culprit = scheduler.fail(batch)
            failed += [culprit] if culprit else []
        else:
            scheduler.finish(batch)
            answered += batch
    assert {jobs.index(job) for job in failed} == poisoned
    assert len(answered) == count - len(poisoned) and len(set(map(id, answered))) == len(answered)
    assert runs <= 1 + 2 * max(1, len(poisoned)) * math.ceil(math.log2(count) + 1)


def test_the_halves_of_a_failed_batch_go_before_anyone_else(clock: Clock) -> None:
    scheduler = Scheduler(clock)
    first, second = admitted(scheduler, Job(1), Job(1))
    batch = scheduler.take()
    (newcomer,) = admitted(scheduler, Job(1, deadline=clock.now + 0.1))
    assert scheduler.fail(batch) is None
    assert [scheduler.take() for _ in range(3)] == [[first], [second], [newcomer]]


def test_a_window_waits_for_company_and_not_for_ever(clock: Clock) -> None:
    scheduler = Scheduler(clock, BatchSize(2), window=0.005)
    (first,) = admitted(scheduler, Job(1))
    assert scheduler.take() == [] and scheduler.due_at() == pytest.approx(clock.now + 0.005)
    (second,) = admitted(scheduler, Job(1))
    assert scheduler.take() == [first, second], "a full batch need not wait"
    (third,) = admitted(scheduler, Job(1))
    clock.now += 0.0051
    assert scheduler.take() == [third]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 0.05), st.integers(1, 4), st.floats(0.02, 1.0)), min_size=1, max_size=60),
    st.floats(0.001, 0.02),
)
def test_with_costs_that_are_known_who_is_admitted_first_in_line_is_in_time(
    arrivals: list[tuple[float, int, float]], a_row: float
) -> None:
    """One executor, deadlines in the order of arrival, costs as measured: whoever is admitted is answered in time."""
    clock, answered = Clock(), []
    scheduler = known(clock, a_row, largest=4)
    scheduler.size.learn = lambda rows, seconds: None  # type: ignore[method-assign]  # it knows already
    free_at, last, admitted_jobs = clock.now, 0.0, []
    running: list[Job] = []
    for gap, rows, allowance in arrivals:
        arrives = clock.now + gap
        while running and free_at <= arrives:
            clock.now = free_at
            scheduler.finish(running)
            answered += [(job, clock.now) for job in running]
            running = scheduler.take()
            free_at = clock.now + a_row * sum(job.rows for job in running)
        clock.now = arrives
        last = max(last, clock.now + allowance)
        job = Job(rows, deadline=last)
        try:
            scheduler.admit(job)
        except Refused:
            continue
        admitted_jobs.append(job)
        if not running:
            running = scheduler.take()
            free_at = clock.now + a_row * sum(job.rows for job in running)
    while running:
        clock.now = free_at
        scheduler.finish(running)
        answered += [(job, clock.now) for job in running]
        running = scheduler.take()
        free_at = clock.now + a_row * sum(job.rows for job in running)
    assert scheduler.dropped() == [] and len(answered) == len(admitted_jobs)
    assert all(when <= job.deadline + 1e-9 for job, when in answered)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: every request ends once, as an answer, a failure, or dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock, BatchSize(6), most_rows=30)
        self.inside: set[Job] = set()
        self.ended: Counter[int] = Counter()
        self.running: list[list[Job]] = []

    @rule(rows=st.integers(1, 9), kind=st.sampled_from("ab"), seconds=st.sampled_from([0.01, 0.5, 5.0, math.inf]))
    def admit(self, rows: int, kind: str, seconds: float) -> None:
        job = Job(rows, kind, self.clock.now + seconds)
        try:
            self.scheduler.admit(job)
        except Refused as refused:
            assert refused.reason in ("full", "late") and refused.retry_after >= 0
        else:
            self.inside.add(job)

    @precondition(lambda self: len(self.running) < 2)
    @rule()
    def take(self) -> None:
        due = self.scheduler.due_at()
        batch = self.scheduler.take()
        assert not batch or due is not None
        if batch:
            assert len({job.kind for job in batch}) == 1
            assert all(not job.cancelled and job.deadline > self.clock.now for job in batch)
            assert sum(job.rows for job in batch) <= 6 or len(batch) == 1
            self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 1), works=st.booleans())
    def end(self, which: int, works: bool) -> None:
        batch = self.running.pop(which % len(self.running))
        if works:
            self.scheduler.finish(batch)
            for job in batch:
                self.leave(job)
        elif culprit := self.scheduler.fail(batch):
            self.leave(culprit)

    @rule(at=st.integers(0, 20))
    def cancel(self, at: int) -> None:
        jobs = sorted(self.inside, key=lambda job: job.number)
        if jobs:
            self.scheduler.cancel(jobs[at % len(jobs)])

    @rule(seconds=st.floats(0.001, 1))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def leave(self, job: Job) -> None:
        self.ended[job.number] += 1
        assert self.ended[job.number] == 1, "ended twice"
        self.inside.remove(job)

    @invariant()
    def nobody_is_lost(self) -> None:
        for job in self.scheduler.dropped():
            assert job.cancelled or job.deadline <= self.clock.now
            self.leave(job)
        waiting = list(self.scheduler.waiting())
        assert self.scheduler.queued_rows == sum(job.rows for job in waiting)
        halves = [job for half in self.scheduler._halves for job in half]
        assert Counter(
            job.number for job in [*waiting, *halves, *(job for batch in self.running for job in batch)]
        ) == (Counter(job.number for job in self.inside))

    def teardown(self) -> None:
        while self.running:
            self.end(0, True)
            self.nobody_is_lost()
        while batch := self.scheduler.take():
            self.running.append(batch)
            self.end(0, True)
            self.nobody_is_lost()
        self.nobody_is_lost()
        assert not self.inside


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
