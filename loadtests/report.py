"""Renders REPORT.md and its plots from the raw results of the benchmarks, and from nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from deploy.process import StartFailed
from loadtests.capacity_model import read_costs
from loadtests.measurements import (
    AnalyticsResults,
    CacheResults,
    EdgeResults,
    FlusherResults,
    LocustResults,
    Measurement,
    VerdictResults,
    WinnerResults,
)
from loadtests.report_edge import render_edge
from loadtests.report_model import render_model, render_site
from loadtests.report_sections import (
    render_analytics,
    render_cache,
    render_flusher,
    render_locust,
    render_verdicts,
    render_winners,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loadtests.capacity_model import Site

TITLE: Final = """# Measured

Every figure here comes from the command above its table, run on the machine that is named there;
the raw results are in `results/`, and this page and its plots are rendered from them alone. Machines
differ and are noisy: compare ratios, and processor time rather than rates.
"""

_SECTIONS: Final[tuple[tuple[str, type[Measurement], Callable[[Any, Path], str]], ...]] = (
    ("edge", EdgeResults, render_edge),
    ("cache", CacheResults, render_cache),
    ("flusher", FlusherResults, render_flusher),
    ("verdicts", VerdictResults, render_verdicts),
    ("analytics", AnalyticsResults, render_analytics),
    ("locust", LocustResults, render_locust),
    ("winners", WinnerResults, render_winners),
)

_T = TypeVar("_T", bound=Measurement)


def publish(name: str, results: Measurement, report: Path) -> None:
    """Keep raw results beside the report, in `results/<name>.json`; render and print the report."""
    folder = report.parent / "results"
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    write_report(report)
    sys.stdout.write(f"\n{report.read_text()}\n")


def write_report(report: Path) -> None:
    """Render what `results/` beside the report holds, with its plots in `plots/`."""
    plots = report.parent / "plots"
    plots.mkdir(exist_ok=True, parents=True)
    sections = [TITLE]
    for name, kind, render in _SECTIONS:
        measured = read_results(report, name, kind)
        if measured is not None:
            sections.append(render(measured, plots))
    edge, flusher = read_results(report, "edge", EdgeResults), read_results(report, "flusher", FlusherResults)
    if edge is not None and flusher is not None:
        sections.append(render_model(edge, flusher))
    report.write_text("\n".join(sections))


def read_results(report: Path, name: str, kind: type[_T]) -> _T | None:
    """Read raw results; None when that was not measured. Raises msgspec.MsgspecError."""
    path = report.parent / "results" / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def run_model(site: Site, report: Path) -> None:
    """`./switchyard bench model`: render anew, and print what a site carries. Raises StartFailed."""
    edge, flusher = read_results(report, "edge", EdgeResults), read_results(report, "flusher", FlusherResults)
    if edge is None or flusher is None:
        raise StartFailed(
            f"{report.parent / 'results'} lacks edge.json or flusher.json: run ./switchyard bench edge"
            " and ./switchyard bench flusher first."
        )
    write_report(report)
    sys.stdout.write(f"{render_site(site, read_costs(edge, flusher))}\n")
