"""The report and its plots, rendered from made-up results."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from deploy.process import StartFailed
from loadtests.capacity_model import Site
from loadtests.charts import draw_bars, draw_lines
from loadtests.environment import Environment
from loadtests.load_client import LoadResult
from loadtests.measurements import (
    EDGE,
    FLUSHER,
    GRANIAN,
    NGINX,
    NGINX_LUA,
    POSTGRES,
    VALKEY,
    WIRE,
    EdgeResults,
    FlusherResults,
    ScalePoint,
    WholePath,
)
from loadtests.report import publish, run_model, write_report

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = Environment(
    "2030-01-02 03:04 UTC", "abc1234", "A <fast> one", 2, 8.0, "6.1", "3.11.7", 131.0, {"granian": "2"}
)
SVG = "{http://www.w3.org/2000/svg}"


def load(requests: int, cpu_us: float) -> LoadResult:
    return LoadResult(2.0, requests, {"302": requests}, 1.0, 2.0, 3.0, 0.25, cpu_us)


def edge_results(*, shares_core: bool = True) -> EdgeResults:
    points = [ScalePoint(count, 50_000.0, 1.0, 2.0, 20.0) for count in (1, 1000)]
    return EdgeResults(
        environment=ENVIRONMENT,
        command="./switchyard bench edge --seconds 2",
        connections=64,
        load_generator="wrk",
        rounds=[
            {
                WIRE: load(wire, 20.0),
                GRANIAN: load(50_000, 40.0),
                NGINX_LUA: load(80_000, 25.0),
                NGINX: load(200_000, 10.0),
            }
            for wire in (100_000, 120_000, 90_000)
        ],
        half_rate=25_000.0,
        at_half_rate={WIRE: load(50_000, 0.0), NGINX: load(50_000, 0.0)},
        cost_us={EDGE: 21.0, VALKEY: 1.0, FLUSHER: 9.0, POSTGRES: 7.0},
        whole_path=WholePath(
            100_000, 4.0, 9.0, {EDGE: 20.0, VALKEY: 1.0, FLUSHER: 8.0, POSTGRES: 6.0}, shares_core
        ),
        by_links=points,
        by_connections=points,
        miss_us={EDGE: 80.0, VALKEY: 8.0},
        request_bytes=380,
        answer_bytes=300,
        publication_ms=[1.0, 3.0, 2.0],
        redirects_served=310_000,
        clicks_landed=310_000,
    )


def flusher_results() -> FlusherResults:
    return FlusherResults(
        environment=ENVIRONMENT,
        command="./switchyard bench flusher --events 1000",
        events=1000,
        seconds=0.01,
        rows=1000,
        peak_memory_mib=100.0,
        stream_mib=0.25,
        cpu_seconds={FLUSHER: 0.008, VALKEY: 0.0005, POSTGRES: 0.006},
    )


def texts(path: Path) -> list[str]:
    return [element.text or "" for element in ET.fromstring(path.read_text()).iter(f"{SVG}text")]


def test_the_edge_is_rendered_with_medians_ratios_and_environment(tmp_path: Path) -> None:
    publish("edge", edge_results(), tmp_path / "REPORT.md")
    text = (tmp_path / "REPORT.md").read_text()
    assert "2030-01-02 03:04 UTC, commit abc1234: A <fast> one, 2 cores" in text
    assert "| edge, wire | 50,000 | 1.00 | 2.00 | 3.00 | 20.0 | 1.00 | 1.00 | 0.50 |" in text
    assert "| nginx return 302 | 100,000 | 1.00 | 2.00 | 3.00 | 10.0 | 0.50 | 0.50 | 0.25 |" in text
    assert "| nginx + Lua, same work | 40,000 | 1.00 | 2.00 | 3.00 | 25.0 | 1.25 | 1.25 | 0.62 |" in text
    assert "| at 25,000 requests/s | 21.0 | 1.0 | 9.0 | 7.0 | 38.0 |" in text
    assert "| 1,000 | 50,000 | 1.00 | 2.00 | 20.0 |" in text
    assert "User-Agent, Accept, Accept-Language, Accept-Encoding, Referer; 380 bytes" in text
    assert "after 2.0 ms (median of 3; longest 3.0 ms)" in text


def test_every_plot_that_is_named_is_there_and_says_what_it_shows(tmp_path: Path) -> None:
    publish("edge", edge_results(), tmp_path / "REPORT.md")
    text = (tmp_path / "REPORT.md").read_text()
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert plots == ["connections.svg", "cost.svg", "half_rate.svg", "links.svg", "rates.svg"]
    for name in plots:
        assert f"](plots/{name})" in text
    assert {"edge, wire", "50,000 /s", "nginx + Lua, same work"} <= set(
        texts(tmp_path / "plots" / "rates.svg")
    )
    assert {"requests/s", "CPU µs per request", "p99", "1,000"} <= set(
        texts(tmp_path / "plots" / "links.svg")
    )


def test_the_model_needs_both_results_and_is_compared_with_what_was_measured(tmp_path: Path) -> None:
    report = tmp_path / "REPORT.md"
    publish("edge", edge_results(), report)
    assert "## More than one machine" not in report.read_text()
    publish("flusher", flusher_results(), report)
    text = report.read_text()
    assert "## More than one machine" in text
    # 20 us and 1 % of 80 us: 48,077 a second and edge; 10 us of a flusher carry two edges, not more.
    assert "| 1 | 1 | 1 | 1 | 48,077 | edges | 100% |" in text
    assert "| 8 | 3 | 4 | 4 | 384,615 | edges |" in text
    # The other core: 9 of the load, 1 of Valkey, 8 of the flusher, 6 of Postgres are 24 us.
    assert "| 41,667 | 25,000 | 0.60 |" in text
    assert "the other core gives out first" in text


def test_without_a_shared_core_only_the_edge_is_compared(tmp_path: Path) -> None:
    report = tmp_path / "REPORT.md"
    publish("edge", edge_results(shares_core=False), report)
    publish("flusher", flusher_results(), report)
    assert "the edge alone on its core" in report.read_text()
    assert "the other core" not in report.read_text()


def test_a_site_is_answered_from_earlier_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, site = tmp_path / "REPORT.md", Site(edges=4, shards=1, flushers=1, postgres_cores=4)
    with pytest.raises(StartFailed, match=r"lacks edge\.json or flusher\.json"):
        run_model(site, report)
    publish("edge", edge_results(), report)
    publish("flusher", flusher_results(), report)
    capsys.readouterr()
    run_model(site, report)
    assert capsys.readouterr().out.startswith(
        "100,000 clicks/s, then flushers give out. At that rate: edges 52%"
    )


def test_nothing_measured_is_a_report_without_sections(tmp_path: Path) -> None:
    write_report(tmp_path / "REPORT.md")
    assert "##" not in (tmp_path / "REPORT.md").read_text()


def test_bars_are_as_long_as_their_values_and_names_are_escaped() -> None:
    root = ET.fromstring(draw_bars("A & B", "µs", {"a<b": {"x": 10.0, "y": 30.0}, "half": {"x": 20.0}}))
    bars = [float(bar.attrib["width"]) for bar in root.iter(f"{SVG}rect") if bar.attrib["height"] != "11"]
    assert bars == pytest.approx([bars[0], 3 * bars[0], 2 * bars[0]], rel=0.01)
    assert "a<b" in [element.text for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.001, 0.0009], [99_999.0, 1.0], [1.0, 1e9]])
def test_lines_stay_inside_their_panel(values: list[float]) -> None:
    root = ET.fromstring(draw_lines("t", "links", [1, 1000], [("ms", {"p50": values})]))
    ys = [float(dot.attrib["cy"]) for dot in root.iter(f"{SVG}circle")]
    grid = [
        float(line.attrib["d"].partition("H")[0].split()[1])
        for line in root.iter(f"{SVG}path")
        if "H" in line.attrib["d"]
    ]
    assert min(grid) <= min(ys) <= max(ys) <= max(grid)


def test_a_single_place_is_drawn_too() -> None:
    root = ET.fromstring(draw_lines("t", "links", [1], [("ms", {"p50": [1.0]})]))
    assert len(list(root.iter(f"{SVG}circle"))) == 1
