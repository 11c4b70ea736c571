"""A rate that many users share."""

from __future__ import annotations


class Throttle:
    """Gives out moments to act, `per_second` of them in all, evenly spaced; unused ones are lost."""

    def __init__(self, per_second: float) -> None:
        if per_second <= 0:
            raise ValueError(f"per_second {per_second}: must be above 0")
        self._interval_s = 1 / per_second
        self._next_s = 0.0

    def reserve(self, now_s: float) -> float:
        """Take the next moment and give the seconds until it. `now_s`: any clock that never goes back."""
        moment_s = max(self._next_s, now_s)
        self._next_s = moment_s + self._interval_s
        return moment_s - now_s
