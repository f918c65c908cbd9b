"""The learned size of a batch: up by one, down by a quarter, and back from where it stopped paying."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.engine import BatchSize


def fed(size: BatchSize, cost: object, batches: int) -> BatchSize:
    """Full batches, whose cost is a function of their rows."""
    for _ in range(batches):
        rows = size.limit
        size.learn(rows, cost(rows))  # type: ignore[operator]
    return size


def test_it_grows_by_a_row_while_company_pays() -> None:
    size = BatchSize(largest=20)
    limits = []
    for _ in range(15):
        limits.append(size.limit)
        size.learn(size.limit, 0.010 + 0.0001 * size.limit)
    assert limits == [*range(8, 20), 20, 20, 20]


def test_batches_that_are_not_full_teach_nothing_about_larger_ones() -> None:
    size = BatchSize(largest=20)
    for _ in range(50):
        size.learn(3, 0.001)
    assert size.limit == 8


def test_it_is_cut_when_a_batch_took_longer_than_the_target() -> None:
    size = BatchSize(largest=64, target=0.010)
    fed(size, lambda rows: 0.0005 * rows, 200)
    assert 10 <= size.limit <= 21, "20 rows take as long as the target allows"
    size.learn(size.limit, 0.5)
    assert size.limit <= 15


def test_it_does_not_go_back_for_a_little() -> None:
    """What a row costs in this size and in that was measured at other times, on a machine that others use too."""
    size = fed(BatchSize(largest=64), lambda rows: rows * (0.0001 if rows <= 8 else 0.00012), 300)
    assert size.limit == 64


def test_it_goes_back_to_where_more_rows_were_done_in_a_second() -> None:
    """A cache that ends at 16 rows: beyond it each row costs twice as much."""
    size = fed(BatchSize(largest=64), lambda rows: 0.001 + rows * (0.0001 if rows <= 16 else 0.0002), 300)
    assert size.limit <= 17


@pytest.mark.parametrize(("in_four", "pays"), [(0.5, True), (0.85, True), (0.95, False), (1.3, False)])
def test_company_pays_if_a_row_costs_notably_less_in_it(in_four: float, pays: bool) -> None:
    size = BatchSize()
    assert size.pays, "while nothing is known"
    size.learn(1, 0.001)
    assert size.pays
    size.learn(4, 0.004 * in_four)
    assert size.pays == pays


def test_one_interruption_does_not_spoil_a_size_but_a_lasting_change_is_believed() -> None:
    size = fed(BatchSize(largest=32), lambda rows: 0.001 + 0.0001 * rows, 60)
    before = size.expected(32)
    size.learn(32, 1.0)
    assert size.limit == 32 and size.expected(32) <= 1.25 * before
    for _ in range(3):
        size.learn(32, 1.0)
    assert size.limit < 32


def test_what_warming_up_taught_of_batches_can_be_forgotten() -> None:
    size = BatchSize()
    size.learn(1, 0.001)
    size.learn(4, 0.1)
    assert not size.pays
    size.forget_batches()
    assert size.pays and size.expected(1) == 0.001 and size.expected(4) == 0.004


@given(
    st.integers(1, 64), st.lists(st.tuples(st.integers(1, 64), st.floats(1e-6, 10)), max_size=60), st.floats(1e-3, 1)
)
def test_it_stays_within_its_bounds(largest: int, seen: list[tuple[int, float]], target: float) -> None:
    size = BatchSize(largest, target)
    for rows, seconds in seen:
        size.learn(rows, seconds)
        assert 1 <= size.limit <= largest
        for n in (0, 1, 7, 1000):
            assert math.isfinite(size.expected(n)) and 0 <= size.expected(n) <= size.at_most(n) * (1 + 1e-9)


@given(st.floats(1e-4, 1e-2), st.floats(1e-5, 1e-3), st.integers(1, 500))
def test_what_it_expects_is_near_what_it_costs(fixed: float, each: float, rows: int) -> None:
    size = fed(BatchSize(largest=32), lambda n: fixed + each * n, 100)
    for n in (1, 2, 4, 8, 16, 32):
        size.learn(n, fixed + each * n)
    whole, rest = divmod(rows, size.limit)
    really = whole * (fixed + each * size.limit) + ((fixed + each * rest) if rest else 0)
    assert really / 2.5 <= size.expected(rows) <= really * 2.5


def test_while_nothing_is_known_nothing_is_expected() -> None:
    assert BatchSize().expected(100) == 0
    with pytest.raises(ValueError, match="must be 1 or more"):
        BatchSize(0)
