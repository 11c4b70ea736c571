from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadtests import bench_cache

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_it_measures_every_power_of_ten_and_renders_a_row_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_UPS", "WARM_UPS", "NEW_LINKS"):
        monkeypatch.setattr(bench_cache, name, 200)
    report = tmp_path / "REPORT.md"
    bench_cache.run(links=250, report=report)
    results = json.loads((tmp_path / "results" / "cache.json").read_text())
    assert [size["links"] for size in results["sizes"]] == [1, 10, 100, 250]
    assert results["sizes"][0]["zipf_compiled"] == 1
    assert 0 < results["sizes"][-1]["zipf_compiled"] <= 1
    text = report.read_text()
    assert "## Links in memory" in text
    assert "250 links with two variants, 241 bytes each in Redis" in text
    assert sum(line.startswith(("| 1 |", "| 10 |", "| 100 |", "| 250 |")) for line in text.splitlines()) == 4
