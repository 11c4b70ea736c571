"""What one edge worker has done, as plain integers in a shared page.

The page is a file of the worker's journal, mapped into memory: a bump costs about 0.1 µs,
every other worker can read it, and it survives `kill -9`.
"""

from __future__ import annotations

import enum
import mmap
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PAGE_SIZE: Final = 4096


class Counter(enum.IntEnum):
    """Position of each counter in the page. Positions are never moved or used again."""

    SERVED = 0
    """Redirects (302) that were answered to a GET: each has exactly one click."""
    JOURNALED = 1
    """Events written to the journal. Set when a chunk is cut, so it may trail by the events since."""
    SHIPPED = 2
    """Events sent to the event stream at least once."""
    LANDED = 3
    """Events that are in Postgres."""
    HEAD = 4
    """Redirects answered to HEAD, which are not clicks."""
    UNKNOWN = 5
    """404: no such slug."""
    GONE = 6
    """410: the link is deleted or inactive."""
    LINKS_UNAVAILABLE = 7
    """503: the link is not cached and Redis cannot say whether it exists."""
    JOURNAL_FULL = 8
    """503: the click could not be written down, so the visitor was not redirected."""
    REFUSED = 9
    """400 and 405: requests that no link answers."""
    PREFETCH = 10
    """Redirects that a browser asked for ahead of the visitor; part of SERVED."""
    CUT_SHORT = 11
    """Damaged journal tails that were cut at the last good record."""
    CACHE_MISSES = 12
    """Links that had to be asked of Redis."""
    LOST = 13
    """Journaled events that a damaged journal could not give back."""
    VISITS = 14
    """Visits of pages that were accepted: each is one event."""
    PAGE_CLICKS = 15
    """Clicks on elements of pages that were accepted: each is one event."""
    CONVERSIONS = 16
    """Checkouts, sales, refunds and upsells that were accepted: each is one event."""
    REPORTS_MALFORMED = 17
    """400, 405: reports of pages and postbacks with a fault in them."""
    REPORTS_FORBIDDEN = 18
    """401, 403: not authorised, or the project takes no such thing now."""
    REPORTS_UNKNOWN = 19
    """404: reports for a project that does not exist."""
    REPORTS_UNAVAILABLE = 20
    """503: reports whose project or key could not be looked up."""


_ACCEPTED: Final = (Counter.SERVED, Counter.VISITS, Counter.PAGE_CLICKS, Counter.CONVERSIONS)

OLDEST_UNLANDED_MS: Final = 64
"""Position of a gauge: Unix milliseconds of the oldest event that has not landed; 0 = all have."""


def count_accepted(values: Sequence[int]) -> int:
    """Give the events that somebody was told are written down, from counters in their order."""
    return sum(values[counter] for counter in _ACCEPTED)


class Counters:
    """The counters of one journal. `values[Counter.X]` reads and writes them."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Reserved now, because a full disk would otherwise kill the process at a later bump.
            os.posix_fallocate(descriptor, 0, PAGE_SIZE)
            self._page = mmap.mmap(descriptor, PAGE_SIZE)
        finally:
            os.close(descriptor)
        self.values = memoryview(self._page).cast("Q")

    def snapshot(self) -> list[int]:
        """Give every counter, in the order of `Counter`."""
        return self.values[: len(Counter)].tolist()

    def close(self) -> None:
        """Unmap the page."""
        self.values.release()
        self._page.close()
