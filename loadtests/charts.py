"""Draws bars and lines as SVG: axes, labels, readable on a light and on a dark page."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 760
LABELS: Final = 230
"""Room for the names of bars, in pixels."""
BAR: Final = 30
PANEL: Final = 150
STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:15px}"
    ".end{text-anchor:end}.mid{text-anchor:middle}.soft{fill:#656d76}"
    ".grid{stroke:#8c959f;stroke-opacity:.35}.line{fill:none;stroke-width:2}"
    ".c0{fill:#2f7fd6;stroke:#2f7fd6}.c1{fill:#e07b39;stroke:#e07b39}.c2{fill:#3a9d6a;stroke:#3a9d6a}"
    ".c3{fill:#9a6fd0;stroke:#9a6fd0}.c4{fill:#8c959f;stroke:#8c959f}rect,circle{stroke:none!important}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.soft{fill:#9198a1}}"
)

Segments: TypeAlias = "dict[str, float]"
"""Parts of a bar by name; a plain bar has one."""
Panel: TypeAlias = "tuple[str, dict[str, list[float]]]"
"""A unit, and series by name: a value for each place on the x axis."""


def draw_bars(title: str, unit: str, bars: dict[str, Segments], *, own: str = "") -> str:
    """Draw a horizontal bar for each name, its parts behind one another. `own`: begins the names of ours."""
    parts = list(dict.fromkeys(part for segments in bars.values() for part in segments))
    longest = max((sum(segments.values()) for segments in bars.values()), default=0.0) or 1.0
    scale = (WIDTH - LABELS - 90) / longest
    out, top = [_text(10, 24, title, "title")], 44
    if len(parts) > 1:
        out.append(_draw_legend(parts, top + 4))
        top += 24
    for name, segments in bars.items():
        out.append(_text(LABELS - 10, top + 19, name, "end"))
        left = float(LABELS)
        for part, value in segments.items():
            # Plain bars tell ours from the others; stacked ones tell parts.
            color = parts.index(part) if len(parts) > 1 else (0 if name.startswith(own) else 4)
            out.append(
                f'<rect class="c{color % 5}" x="{left:.1f}" y="{top + 4}" width="{value * scale:.1f}"'
                f' height="{BAR - 9}"/>'
            )
            left += value * scale
        out.append(_text(left + 6, top + 19, f"{_show(sum(segments.values()))} {unit}", "soft"))
        top += BAR
    return _wrap(title, top + 10, out)


def draw_lines(title: str, x_label: str, places: Sequence[int], panels: list[Panel]) -> str:
    """Draw panels under one another over one logarithmic x axis; every y axis begins at 0."""
    left, right = 70, WIDTH - 30
    span = math.log10(max(places)) - math.log10(min(places)) or 1.0
    xs = [left + (right - left) * (math.log10(place) - math.log10(min(places))) / span for place in places]
    out, top = [_text(10, 24, title, "title")], 40
    for unit, series in panels:
        out.append(_draw_panel(unit, series, xs, top, (left, right)))
        top += PANEL
    out += [_text(x, top + 2, f"{place:,}", "mid soft") for x, place in zip(xs, places, strict=True)]
    out.append(_text((left + right) / 2, top + 24, x_label, "mid"))
    return _wrap(title, top + 36, out)


def _draw_panel(
    unit: str, series: dict[str, list[float]], xs: list[float], top: int, sides: tuple[int, int]
) -> str:
    ceiling = _round_up(max(max(values) for values in series.values()))
    floor, height = top + PANEL - 20, PANEL - 52
    out = [_text(10, top + 12, unit, "soft")]
    if len(series) > 1:
        out.append(_draw_legend(list(series), top + 2, left=sides[0] + 120))
    for share in (0, 0.5, 1):
        y = floor - height * share
        out.append(f'<path class="grid" d="M{sides[0]} {y:.1f}H{sides[1]}"/>')
        out.append(_text(sides[0] - 8, y + 4, _show(ceiling * share), "end soft"))
    for color, values in enumerate(series.values()):
        points = [(x, floor - height * value / ceiling) for x, value in zip(xs, values, strict=True)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        out.append(f'<path class="c{color} line" style="fill:none" d="M{path}"/>')
        out += [f'<circle class="c{color}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points]
    return "\n".join(out)


def _draw_legend(names: list[str], top: int, left: int = LABELS) -> str:
    out = []
    for number, name in enumerate(names):
        out.append(f'<rect class="c{number % 5}" x="{left}" y="{top}" width="11" height="11"/>')
        out.append(_text(left + 16, top + 10, name))
        left += 40 + 8 * len(name)
    return "".join(out)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _show(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"  # noqa: PLR2004  digits


def _round_up(value: float) -> float:
    """Give the next round number: the top of an axis."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.9999)


def _wrap(title: str, height: float, body: list[str]) -> str:
    lines = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
        f' height="{height:.0f}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n{lines}\n</svg>\n"
    )
