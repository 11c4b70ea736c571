"""`./switchyard bench cache`: what a link costs in a worker's memory, and what a look-up costs.

In this process, without a server: `LinkCache.get` with slugs that are drawn beforehand. The mix goes
by Zipf's law (the link of rank n gets 1/n of the first one's clicks), and ranks are spread over the
order in which the links came.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge.contract.link_record import encode_link
from edge.link_cache import COMPILED_LINKS, LinkCache
from loadtests.environment import read_environment
from loadtests.link_records import draw_by_popularity, make_record
from loadtests.measurements import CacheResults, CacheSize
from loadtests.report import publish

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_UPS: Final = 200_000
WARM_UPS: Final = 500_000
"""Enough for the compiled links to have settled."""
ROUNDS: Final = 5
NEW_LINKS: Final = 20_000


def run(*, links: int, report: Path) -> None:
    """Measure, print, and render the report."""
    chance = random.Random(7)  # noqa: S311  the same links at every call
    record_bytes, cold, churned, compiled = _measure_memory(links, chance)
    sizes = [links] if links < 10 else [10**power for power in range(len(str(links)))]  # noqa: PLR2004
    if sizes[-1] != links:
        sizes.append(links)
    measured = []
    for size in sizes:
        sys.stdout.write(f"looking up among {size:,} links\n")
        measured.append(_measure_size(size, chance))
    results = CacheResults(
        environment=read_environment(),
        command=f"./switchyard bench cache --links {links}",
        links=links,
        record_bytes=record_bytes,
        cold_bytes=cold,
        churned_bytes=churned,
        compiled_bytes=compiled,
        compiled_links=COMPILED_LINKS,
        sizes=measured,
    )
    publish("cache", results, report)


def _fill(links: int, chance: random.Random) -> LinkCache:
    cache = LinkCache(size=links, unknown_ttl_s=2.0)
    for number in range(links):
        cache.store(make_record(number, chance))
    return cache


def _measure_memory(links: int, chance: random.Random) -> tuple[float, float, float, float]:
    """Give bytes per link: encoded; cold; cold after as many were pushed out; compiled, on top."""
    sys.stdout.write(f"filling a cache with {links:,} links\n")
    record_bytes = sum(len(encode_link(make_record(number, chance))) for number in range(100)) / 100
    before = _read_resident_bytes()
    cache = _fill(links, chance)
    cold = _read_resident_bytes()
    compiled = min(links, COMPILED_LINKS)
    for slug in cache.list_keys()[:compiled]:
        cache.get(slug)
    hot = _read_resident_bytes()
    for number in range(links, 2 * links):
        cache.store(make_record(number, chance))
    # What was compiled was used and stays: it is not part of what the cold ones take.
    churned = _read_resident_bytes() - (hot - cold)
    return record_bytes, (cold - before) / links, (churned - before) / links, (hot - cold) / compiled


def _measure_size(links: int, chance: random.Random) -> CacheSize:
    cache = _fill(links, chance)
    slugs = cache.list_keys()
    chance.shuffle(slugs)
    for slug in draw_by_popularity(slugs, WARM_UPS, chance):
        cache.get(slug)
    mixes = [draw_by_popularity(slugs, LOOK_UPS, chance) for _ in range(ROUNDS)]
    compiled = cache._compiled  # noqa: SLF001  to tell look-ups that compile from those that do not
    compiled_share = sum(slug in compiled for slug in mixes[0]) / LOOK_UPS
    return CacheSize(
        links=links,
        single_ns=_time(cache.get, [slugs[:1] * LOOK_UPS] * ROUNDS),
        zipf_ns=_time(cache.get, mixes),
        zipf_compiled=compiled_share,
        unknown_ns=_time(cache.get, [[f"unknown-{number}" for number in range(LOOK_UPS)]] * ROUNDS),
        evict_ns=_time_eviction(cache, links, chance),
    )


def _time(call: Callable[[str], object], rounds: list[list[str]]) -> float:
    """Give nanoseconds per call of the fastest round, the loop's own taken off."""
    best = min(_time_once(call, slugs) for slugs in rounds)
    return max(0.0, best - min(_time_once(None, slugs) for slugs in rounds))


def _time_once(call: Callable[[str], object] | None, slugs: list[str]) -> float:
    began = time.perf_counter_ns()
    if call is None:
        for _slug in slugs:
            pass
    else:
        for slug in slugs:
            call(slug)
    return (time.perf_counter_ns() - began) / len(slugs)


def _time_eviction(cache: LinkCache, links: int, chance: random.Random) -> float:
    """Give nanoseconds per new link in a full cache."""
    records = [make_record(links + number, chance) for number in range(NEW_LINKS)]
    began = time.perf_counter_ns()
    for record in records:
        cache.store(record)
    return (time.perf_counter_ns() - began) / NEW_LINKS


def _read_resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
