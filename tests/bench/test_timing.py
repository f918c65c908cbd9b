"""Taking turns, with a clock and a machine that the test controls."""

import gc
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.bench import take_turns
from helpers.bench.timing import duration


class Machine:
    """Calls move its clock; it may slow down while it runs."""

    def __init__(self, slower: Callable[[float], float] = lambda now: 1.0) -> None:
        self.now = 0.0
        self.slower = slower
        self.called: list[str] = []

    def clock(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.called.append(name)
            self.now += seconds * self.slower(self.now)

        return call


def test_each_has_its_turn_in_each_round_after_another_neighbour() -> None:
    machine = Machine()
    contestants = {name: machine.work(name, 1.0) for name in "abcd"}
    take_turns(contestants, rounds=40, warm_up=2, shortest=0, clock=machine.clock)
    assert machine.called[:4] == list("abcd"), "each is warmed up"
    turns = machine.called[4:]
    assert all(sorted(turns[at : at + 4]) == list("abcd") for at in range(0, len(turns), 4))
    for name in "abcd":
        before = Counter(turns[at - 1] for at in range(4, len(turns)) if turns[at] == name)
        assert all(before[other] >= 3 for other in "abcd" if other != name)


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-4, 10), st.floats(1e-4, 10))
def test_a_sample_is_the_time_of_one_call(one: float, other: float) -> None:
    machine = Machine()
    contestants = {"one": machine.work("one", one), "other": machine.work("other", other)}
    times = take_turns(contestants, rounds=5, shortest=0.01, clock=machine.clock)
    assert times["one"].median == pytest.approx(one)
    assert times["one"].ratio(times["other"]) == pytest.approx(one / other)


def test_a_machine_that_slows_down_favours_nobody() -> None:
    machine = Machine(slower=lambda now: 1 + now / 10)
    contestants = {"a": machine.work("a", 0.1), "b": machine.work("b", 0.1)}
    times = take_turns(contestants, rounds=20, clock=machine.clock)
    assert times["a"].ratio(times["b"]) == pytest.approx(1, abs=0.02)
    assert times["a"].seconds[-1] > 1.3 * times["a"].seconds[0], "and it did slow down"


def test_one_call_that_does_not_count_goes_before_a_sample_unless_it_is_long() -> None:
    machine = Machine()
    contestants = {"quick": machine.work("quick", 0.01), "long": machine.work("long", 1.0)}
    take_turns(contestants, rounds=10, shortest=0.01, warm_up=1, clock=machine.clock)
    assert Counter(machine.called) == {"quick": 1 + 10 * 2, "long": 1 + 10}
    machine = Machine()
    contestants = {"quick": machine.work("quick", 0.01), "long": machine.work("long", 1.0)}
    take_turns(contestants, rounds=0, shortest=0.01, warm_up=5, clock=machine.clock)
    assert Counter(machine.called) == {"quick": 5, "long": 1}, "nor is it warmed up for longer than it takes to see"


def test_the_price_of_a_neighbour_is_not_counted() -> None:
    """Whoever comes after another finds the caches full of the other's numbers."""

    class Cached(Machine):
        last = ""

        def work(self, name: str, seconds: float) -> Callable[[], None]:
            def call() -> None:
                self.now += seconds if self.last == name else 3 * seconds
                self.last = name

            return call

    machine = Cached()
    contestants = {name: machine.work(name, 0.002) for name in "abc"}
    times = take_turns(contestants, rounds=10, clock=machine.clock)
    assert all(timing.median == pytest.approx(0.002) for timing in times.values())


def test_short_calls_are_counted_together() -> None:
    machine = Machine()
    take_turns({"short": machine.work("short", 1e-6)}, rounds=1, shortest=1e-4, warm_up=1, clock=machine.clock)
    assert len(machine.called) == 1 + 1 + 100


def test_what_takes_no_time_at_all_ends() -> None:
    machine = Machine()
    times = take_turns({"nothing": machine.work("nothing", 0.0)}, rounds=2, clock=machine.clock)
    assert times["nothing"].median == 0


def test_the_seconds_end_it_after_five_rounds_at_least() -> None:
    machine = Machine()
    slow = take_turns({"slow": machine.work("slow", 1.0)}, rounds=100, seconds=2.0, clock=machine.clock)
    assert len(slow["slow"].seconds) == 5
    machine = Machine()
    quick = take_turns({"quick": machine.work("quick", 0.1)}, rounds=100, seconds=2.0, clock=machine.clock)
    assert len(quick["quick"].seconds) == pytest.approx(20, abs=1)


def test_the_collector_rests_meanwhile_and_works_again_afterwards() -> None:
    seen = []
    take_turns({"look": lambda: seen.append(gc.isenabled())}, rounds=1, warm_up=1, shortest=0)
    assert seen == [True, False] and gc.isenabled()
    with pytest.raises(LookupError):
        take_turns({"fails": Failing().call}, rounds=3)
    assert gc.isenabled()


class Failing:
    calls = 0

    def call(self) -> None:
        self.calls += 1
        if self.calls > 4:
            raise LookupError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.2345e-7, "123 ns"), (4.5678e-6, "4.57 µs"), (0.0123, "12.3 ms"), (2.0, "2 s"), (0.0, "0 ns")],
)
def test_durations_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_timing_reads_as_a_median_with_its_spread() -> None:
    machine = Machine()
    times = take_turns({"a": machine.work("a", 0.25)}, rounds=5, clock=machine.clock)
    assert str(times["a"]) == "250 ms (250 ms to 250 ms)"
