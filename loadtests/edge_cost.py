"""What a click costs all the way into Postgres, by part, and how fast the whole path goes."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Final

from loadtests.bench_stack import OTHER_CORES, await_landed, read_cpu_seconds
from loadtests.load_generators import Target, apply_load, apply_rate
from loadtests.measurements import EDGE, FLUSHER, POSTGRES, VALKEY, WholePath

if TYPE_CHECKING:
    from deploy.data_folder import Ready

PROCESSES: Final = {EDGE: "edge-1", VALKEY: "valkey", FLUSHER: "flusher", POSTGRES: "postgres"}


def measure_cost(
    ready: Ready, target: Target, *, rate: float, seconds: int, connections: int
) -> dict[str, float]:
    """Give the processor time of each part per landed click at a fixed rate, in microseconds."""
    landed, before = await_landed(ready.edge_url)["landed"], _read_cpu(ready)
    apply_rate(target, rate=rate, seconds=seconds, connections=connections)
    clicks = await_landed(ready.edge_url)["landed"] - landed
    return _per_click(before, _read_cpu(ready), clicks)


def measure_whole_path(ready: Ready, target: Target, *, seconds: int, connections: int) -> WholePath:
    """Ask as fast as answers come with everything at work, and wait until the last click has landed."""
    landed, before = await_landed(ready.edge_url)["landed"], _read_cpu(ready)
    client, began = _read_client_seconds(), time.perf_counter()
    apply_load(target, seconds=seconds, connections=connections)
    client = _read_client_seconds() - client
    clicks = await_landed(ready.edge_url)["landed"] - landed
    elapsed = time.perf_counter() - began
    return WholePath(
        clicks=clicks,
        seconds=elapsed,
        client_us=client * 1e6 / clicks,
        cpu_us=_per_click(before, _read_cpu(ready), clicks),
        shares_core=len(OTHER_CORES) == 1,
    )


def _read_cpu(ready: Ready) -> dict[str, float]:
    return {part: read_cpu_seconds(ready.processes[name]) for part, name in PROCESSES.items()}


def _per_click(before: dict[str, float], after: dict[str, float], clicks: int) -> dict[str, float]:
    return {part: (after[part] - before[part]) * 1e6 / clicks for part in before}


def _read_client_seconds() -> float:
    """Give the processor time of the children that have ended: during a run, that is the load."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
