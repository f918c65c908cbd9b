"""How many rows to run together: learned from what each size was seen to cost.

A batch of n rows costs about a + b·n, so a larger one costs less for each row. That ends
where the processor's caches do, and where the callers' patience does. So the limit grows
by a row after a full batch that was quick enough, and is cut to three quarters after one
that was not; and it goes back to a smaller size that was seen to do more rows a second.
"""

import math

CUT = 0.75
MEMORY = 0.2  # the weight of the newest time in the running mean
MOST = 2.0  # a time counts as at most so many times the mean
WORTH = 0.9  # of the seconds of a row alone: company pays that takes less
WORSE = 0.8  # of the seconds of a row: a smaller batch that took less was better, and not only on a quieter day


class BatchSize:
    """The learned limit, and the expected seconds for any number of rows."""

    def __init__(self, largest: int = 32, target: float = math.inf) -> None:
        if largest < 1:
            raise ValueError(f"the largest batch is {largest} rows, and must be 1 or more")
        self.largest = largest
        self.target = target
        self._limit = float(min(largest, 8))
        self._seconds: dict[int, float] = {}  # of a row: the running mean, by the power of two above the size
        self._slowest = 0.0  # of these
        self._expected: dict[int, float] = {}  # what was worked out since the last batch

    @property
    def limit(self) -> int:
        """The most rows to run together now."""
        return max(1, int(self._limit))

    @property
    def pays(self) -> bool:
        """False if larger batches were tried, and none did notably more rows a second than one row at a time."""
        larger = [seconds for place, seconds in self._seconds.items() if place > 1]
        if not larger or 1 not in self._seconds:
            return self.largest > 1
        return min(larger) < WORTH * self._seconds[1]

    def learn(self, rows: int, seconds: float) -> None:
        """Take in what one batch cost."""
        self._expected.clear()
        place = _place(rows)
        a_row = seconds / rows
        known = self._seconds.get(place)
        # Who was interrupted took long, which says little about the size.
        self._seconds[place] = a_row if known is None else known + MEMORY * (min(a_row, MOST * known) - known)
        self._slowest = max(self._seconds.values())
        if seconds > self.target:
            self._limit = max(1.0, min(self._limit, rows) * CUT)
        elif rows >= self.limit:
            self._limit = float(min(self.largest, self._limit + 1))
        best = min(self._seconds, key=self._seconds.__getitem__)
        if best < place and self._seconds[best] < WORSE * self._seconds[place]:
            self._limit = min(self._limit, float(best))

    def forget_batches(self) -> None:
        """Of several rows, that is; the first run of each size, when a model warms up, says nothing about the next."""
        self._seconds = {place: seconds for place, seconds in self._seconds.items() if place == 1}
        self._slowest = max(self._seconds.values(), default=0.0)
        self._expected.clear()

    def expected(self, rows: int) -> float:
        """The seconds that so many rows will take, in batches of the limit; 0 while nothing is known."""
        found = self._expected.get(rows)
        if found is None:
            whole, rest = divmod(rows, self.limit)
            found = whole * self._one(self.limit) + (self._one(rest) if rest else 0.0) if self._seconds else 0.0
            self._expected[rows] = found
        return found

    def at_most(self, rows: int) -> float:
        """No less than what is expected, and quick to tell."""
        return 2 * rows * self._slowest

    def _one(self, rows: int) -> float:
        """One batch: as the nearest size that was measured, which for a smaller one costs no more in all."""
        place = _place(rows)
        nearest = min(self._seconds, key=lambda known: abs(math.log2(known / place)))
        return self._seconds[nearest] * (rows if nearest <= place else min(nearest, 2 * rows))


def _place(rows: int) -> int:
    """1, 2, 4, 8, …: the sizes that are told apart."""
    return 1 << (rows - 1).bit_length()
