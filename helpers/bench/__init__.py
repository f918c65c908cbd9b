"""Measurements that compare: contestants take turns, and the spread is shown beside the median."""

from helpers.bench.timing import Timing, take_turns

__all__ = ["Timing", "take_turns"]
