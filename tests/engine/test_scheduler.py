"""The scheduler, on a clock that the test moves: rows conserved, nobody starved, deadlines kept that can be."""

import itertools
import math
from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from helpers.engine import BatchSize, Job, Refused, Scheduler
from helpers.engine.job import PATIENCE
from helpers.engine.scheduler import STALE


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


@pytest.mark.parametrize(
    ("executors", "running", "seconds", "admitted"),
    [
        (1, [8], 0.85, False),
        (2, [8], 0.15, True),
        (2, [8, 1], 0.15, False),
        (2, [8, 1], 0.25, True),
        (2, [], 0.05, False),
    ],
)
def test_an_executor_that_is_free_or_soon_will_be_is_counted_on(
    clock: Clock, executors: int, running: list[int], seconds: float, admitted: bool
) -> None:
    scheduler = known(clock, a_row=0.1)
    scheduler.executors = executors
    for rows in running:
        scheduler.admit(Job(rows))
        scheduler.take()
    job = Job(rows=1, deadline=clock.now + seconds)
    if admitted:
        scheduler.admit(job)
        assert scheduler.take() == [job]
    else:
        with pytest.raises(Refused, match="late"):
            scheduler.admit(job)


def test_a_queue_is_shared_by_the_executors(clock: Clock) -> None:
    """Four batches of 0.8 s run, and four wait: a fifth is done after 1.8 s at the soonest, and not after 7.2."""
    scheduler = known(clock, a_row=0.1)
    scheduler.executors = 4
    for _ in range(4):
        scheduler.admit(Job(rows=8))
        scheduler.take()
    admitted(scheduler, *(Job(rows=8, deadline=clock.now + 1.61) for _ in range(4)))
    with pytest.raises(Refused, match="late"):
        scheduler.admit(Job(rows=8, deadline=clock.now + 1.79))
    scheduler.admit(Job(rows=8, deadline=clock.now + 1.81))


def test_a_request_with_more_rows_than_there_is_room_for_waits_alone(clock: Clock) -> None:
    scheduler = Scheduler(clock, most_rows=10)
    (large,) = admitted(scheduler, Job(rows=50))
    with pytest.raises(Refused, match="full"):
        scheduler.admit(Job(rows=1))
    assert scheduler.take() == [large]
    scheduler.admit(Job(rows=1))
    with pytest.raises(Refused, match="full"):
        scheduler.admit(Job(rows=50))


def test_who_has_left_makes_room(clock: Clock) -> None:
    scheduler, gone, looks = Scheduler(clock, most_rows=10), set(range(5)), []

    def has_left(number: int) -> bool:
        looks.append(number)
        return number in gone

    waiting = admitted(scheduler, *(Job(1, has_left=partial(has_left, number)) for number in range(10)))
    (new,) = admitted(scheduler, Job(rows=5))
    assert set(scheduler.dropped()) == set(waiting[:5]) and scheduler.queued_rows == 10
    for _ in range(100):
        with pytest.raises(Refused, match="full"):
            scheduler.admit(Job(rows=1))
    assert len(looks) == 10, "it looks at all of them once, and not for each who is sent away"
    assert scheduler.take() == waiting[5:] and scheduler.take() == [new]


@pytest.mark.parametrize("kinds", [1, 3000])
def test_when_thousands_have_left_the_next_one_runs(clock: Clock, kinds: int) -> None:
    scheduler = Scheduler(clock, most_rows=10_000)
    gone = admitted(scheduler, *(Job(1, kind=number % kinds, has_left=lambda: True) for number in range(3000)))
    (honest,) = admitted(scheduler, Job(1, kind="honest"))
    assert scheduler.take() == [honest] and scheduler.take() == []
    assert len(scheduler.dropped()) == len(gone) and scheduler.queued_rows == 0


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


class Run:
    """Executors that take what arrives, on a clock that moves from event to event; costs are as measured."""

    def __init__(self, a_row: float, executors: int) -> None:
        self.clock = Clock()
        self.scheduler = known(self.clock, a_row, largest=4)
        self.scheduler.size.learn = lambda rows, seconds: None  # type: ignore[method-assign]  # it knows already
        self.scheduler.executors = executors
        self.a_row = a_row
        self.running: list[tuple[float, int, list[Job]]] = []  # when it ends
        self.answered: list[tuple[Job, float]] = []

    def until(self, time: float) -> None:
        while self.running and min(self.running)[0] <= time:
            done = min(self.running)
            self.running.remove(done)
            self.clock.now = done[0]
            self.scheduler.finish(done[2])
            self.answered += [(job, self.clock.now) for job in done[2]]
            self.start()
        self.clock.now = max(self.clock.now, min(time, self.clock.now if time == math.inf else time))

    def start(self) -> None:
        while len(self.running) < self.scheduler.executors and (batch := self.scheduler.take()):
            ends = self.clock.now + self.a_row * sum(job.rows for job in batch)
            self.running.append((ends, batch[0].number, batch))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(
        st.tuples(st.floats(0, 0.05), st.integers(1, 4), st.sampled_from([0.03, 0.2, 1.0, math.inf]), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.floats(0.001, 0.02),
)
def test_with_any_number_of_executors_everyone_ends_once_and_nobody_is_sent_away_who_could_be_served(
    executors: int, arrivals: list[tuple[float, int, float, bool]], a_row: float
) -> None:
    run, taken_in, left = Run(a_row, executors), [], set()
    for gap, rows, allowance, leaves in arrivals:
        run.until(run.clock.now + gap)
        job = Job(rows, deadline=run.clock.now + allowance)
        job.has_left = lambda job=job: job in left  # type: ignore[misc]
        idle = len(run.running) < executors
        try:
            run.scheduler.admit(job)
        except Refused:
            assert not idle or a_row * rows > allowance - 1e-9, "an executor was free, and there was time enough"
            continue
        taken_in.append(job)
        run.start()
        assert not idle or any(job in batch for _, _, batch in run.running), "it ran at once"
        if leaves and not any(job in batch for _, _, batch in run.running):
            left.add(job)
    run.until(math.inf)
    dropped = run.scheduler.dropped()
    assert Counter([*(job.number for job, _ in run.answered), *(job.number for job in dropped)]) == Counter(
        job.number for job in taken_in
    )
    assert not left & {job for job, _ in run.answered} and run.scheduler.queued_rows == 0
    assert all(job in left or job.deadline <= run.clock.now for job in dropped)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: every request ends once, as an answer, a failure, or dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.scheduler = Scheduler(self.clock, BatchSize(6), most_rows=30)
        self.scheduler.executors = 3
        self.left: set[Job] = set()
        self.inside: set[Job] = set()
        self.ended: Counter[int] = Counter()
        self.running: list[list[Job]] = []

    @rule(rows=st.integers(1, 9), kind=st.sampled_from("ab"), seconds=st.sampled_from([0.01, 0.5, 5.0, math.inf]))
    def admit(self, rows: int, kind: str, seconds: float) -> None:
        job = Job(rows, kind, self.clock.now + seconds)
        job.has_left = lambda: job in self.left
        try:
            self.scheduler.admit(job)
        except Refused as refused:
            assert refused.reason in ("full", "late") and refused.retry_after >= 0
        else:
            self.inside.add(job)

    @precondition(lambda self: len(self.running) < 3)
    @rule()
    def take(self) -> None:
        due = self.scheduler.due_at()
        batch = self.scheduler.take()
        assert not batch or due is not None
        if batch:
            assert len({job.kind for job in batch}) == 1
            assert all(not job.is_unwanted and job.deadline > self.clock.now for job in batch)
            assert sum(job.rows for job in batch) <= 6 or len(batch) == 1
            self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2), works=st.booleans())
    def end(self, which: int, works: bool) -> None:
        batch = self.running.pop(which % len(self.running))
        if works:
            self.scheduler.finish(batch)
            for job in batch:
                self.leave(job)
        elif culprit := self.scheduler.fail(batch):
            self.leave(culprit)

    @rule(at=st.integers(0, 20), told=st.booleans())
    def leave_early(self, at: int, told: bool) -> None:
        jobs = sorted(self.inside, key=lambda job: job.number)
        if jobs and told:
            self.scheduler.cancel(jobs[at % len(jobs)])
        elif jobs:
            self.left.add(jobs[at % len(jobs)])

    @rule()
    def expire(self) -> None:
        self.scheduler.expire()
        assert all(not job.is_unwanted and job.deadline > self.clock.now for job in self.scheduler.waiting())
        assert self.scheduler.first_deadline() > self.clock.now

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
            assert job.is_unwanted or job.deadline <= self.clock.now
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


def test_a_full_batch_is_due_although_a_real_clock_never_stands_still() -> None:
    moments = itertools.count()
    size = BatchSize(4)
    scheduler = Scheduler(lambda: next(moments) * 1e-6, size, window=10.0)
    jobs = [Job(1) for _ in range(size.limit)]
    for job in jobs[:-1]:
        scheduler.admit(job)
    assert scheduler.take() == [] and (scheduler.due_at() or 0) > 9
    scheduler.admit(jobs[-1])
    assert scheduler.take() == jobs


def test_a_slow_first_time_does_not_lock_everyone_out(clock: Clock) -> None:
    size = BatchSize(4)
    size.learn(1, 60.0)  # the first call loaded something
    scheduler = Scheduler(clock, size)
    for _ in range(40):
        with pytest.raises(Refused):  # it is believed
            scheduler.admit(Job(1, deadline=clock() + 1.0))
        clock.now += STALE + 0.1
        tried = Job(1, deadline=clock() + 1.0)  # and after a while it is not
        scheduler.admit(tried)
        with pytest.raises(Refused):
            scheduler.admit(Job(1, deadline=clock() + 1.0))
        batch = scheduler.take()
        assert batch == [tried]
        clock.now += 0.1
        scheduler.finish(batch)
        if size.expected(1) < 1.0:
            break
    scheduler.admit(Job(1, deadline=clock() + 1.0))
