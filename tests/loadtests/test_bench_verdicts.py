from __future__ import annotations

from typing import TYPE_CHECKING

from loadtests import bench_verdicts
from loadtests.measurements import VerdictResults
from loadtests.report import read_results

if TYPE_CHECKING:
    from pathlib import Path


def test_machines_are_recognised_and_people_are_not_taken_for_machines(tmp_path: Path) -> None:
    report = tmp_path / "REPORT.md"
    bench_verdicts.run(report=report)
    results = read_results(report, "verdicts", VerdictResults)
    assert results is not None
    assert results.machines > 1000
    assert results.browsers > 500
    assert results.recognised / results.machines > 0.99
    assert results.mistaken_traffic < 0.001
    assert "Machines and people" in report.read_text()
