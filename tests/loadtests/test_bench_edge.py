"""`./switchyard bench edge --quick`, whole, on a stack of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from deploy import bootstrap
from loadtests.bench_stack import CHECKOUT
from loadtests.measurements import EDGE, GRANIAN, WIRE, WIRE_BARE, EdgeResults

pytestmark = pytest.mark.xdist_group("local stack")


def test_everything_is_measured_and_every_click_lands(tmp_path: Path) -> None:
    if not bootstrap.is_current(Path(sys.prefix), ["run.txt", "dev.txt"]):
        pytest.skip("this test starts ./switchyard, which uses the libraries that ./switchyard test installs")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHYARD_")}
    report = tmp_path / "REPORT.md"
    options = f"--quick --seconds 1 --rounds 1 --connections 8 --report {report}"
    done = subprocess.run(
        [str(CHECKOUT / "switchyard"), "bench", "edge", *options.split()],
        env=kept | {"SWITCHYARD_VENV": sys.prefix},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = msgspec.json.decode((tmp_path / "results" / "edge.json").read_bytes(), type=EdgeResults)
    for name in (WIRE, WIRE_BARE, GRANIAN):
        assert set(results.rounds[0][name].statuses) == {"302"}
        assert results.rounds[0][name].cpu_us > 0
    assert [point.count for point in results.by_links] == [1, 100]
    assert [point.count for point in results.by_connections] == [1, 64]
    assert results.cost_us[EDGE] > 0
    assert results.miss_us.keys() == {"edge", "valkey"}
    assert results.whole_path.clicks > 0
    assert results.redirects_served == results.clicks_landed > 0
    assert "## Redirects on one core" in report.read_text()
