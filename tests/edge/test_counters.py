from __future__ import annotations

from typing import TYPE_CHECKING

from edge.counters import Counter, Counters

if TYPE_CHECKING:
    from pathlib import Path


class TestCounters:
    def test_they_are_shared_and_survive(self, tmp_path: Path) -> None:
        mine, others = Counters(tmp_path / "counters"), Counters(tmp_path / "counters")
        mine.values[Counter.SERVED] += 3
        assert others.values[Counter.SERVED] == 3
        mine.close()
        others.close()
        again = Counters(tmp_path / "counters")
        assert again.snapshot() == [3] + [0] * (len(Counter) - 1)
        assert (tmp_path / "counters").stat().st_blocks * 512 >= 4096

    def test_positions_are_never_moved(self) -> None:
        assert {counter.name: counter.value for counter in Counter} == {
            "SERVED": 0,
            "JOURNALED": 1,
            "SHIPPED": 2,
            "LANDED": 3,
            "HEAD": 4,
            "UNKNOWN": 5,
            "GONE": 6,
            "LINKS_UNAVAILABLE": 7,
            "JOURNAL_FULL": 8,
            "REFUSED": 9,
            "PREFETCH": 10,
            "CUT_SHORT": 11,
            "CACHE_MISSES": 12,
            "LOST": 13,
            "VISITS": 14,
            "PAGE_CLICKS": 15,
            "CONVERSIONS": 16,
            "REPORTS_MALFORMED": 17,
            "REPORTS_FORBIDDEN": 18,
            "REPORTS_UNKNOWN": 19,
            "REPORTS_UNAVAILABLE": 20,
        }
