"""Which link is followed: a few are followed most of the time, as links are (Zipf's law)."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate


class Popularity:
    """Popularity of `count` links by rank: the n-th is followed 1/n as often as the first."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"count {count}: there must be a link to follow")
        self._until = list(accumulate(1 / rank for rank in range(1, count + 1)))

    def choose_rank(self, draw: float) -> int:
        """Give a rank from 0. `draw`: uniform in [0, 1)."""
        rank = bisect_right(self._until, draw * self._until[-1])
        return min(rank, len(self._until) - 1)  # a draw just below 1 may round up
