"""The course of the error through both sales, as an SVG that needs nothing but a browser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

WIDTH, HEIGHT, LEFT, TOP, GAP = 960, 600, 80, 70, 70
PANEL_WIDTH, PANEL_HEIGHT = WIDTH - LEFT - 24, (HEIGHT - TOP - 2 * GAP) // 2
LOWEST, HIGHEST = 5e-4, 2e-1
SALE: Final = (8, 13)
LINES: Final = {
    "frozen": ("#b45309", "network, frozen"),
    "online": ("#64748b", "online model"),
    "blend": ("#1d4ed8", "blend (published)"),
}


def picture(found: dict[str, Any]) -> str:
    """Return the picture of what `benchmarks.learning.drift.run_drift` found."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#0f172a">',
        "<title>Log-loss above the best possible through two sales: frozen network, online model, blend</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="26" font-size="16" font-weight="600">Log-loss above the best possible, nats an example '
        "(6-hour means, log scale)</text>",
    ]
    for at, (colour, name) in enumerate(LINES.values()):
        x = LEFT + 170 * at
        parts.append(f'<path d="M{x} 46h24" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 30}" y="50">{name}</text>')
    for row, (sale, title) in enumerate(
        (("s10", "S10: more purchases, faster decisions"), ("s9", "S9: carting without intent"))
    ):
        parts += _panel(found[sale]["course"], title, TOP + row * (PANEL_HEIGHT + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(course: dict[str, list[float]], title: str, top: float) -> list[str]:
    days = course["day"]
    last = math.ceil(max(days))

    def x(day: float) -> float:
        return LEFT + PANEL_WIDTH * day / last

    def y(loss: float) -> float:
        bounded = min(max(loss, LOWEST), HIGHEST)
        return top + PANEL_HEIGHT * (1 - math.log(bounded / LOWEST) / math.log(HIGHEST / LOWEST))

    bottom = top + PANEL_HEIGHT
    parts = [
        f'<rect x="{x(SALE[0]):.1f}" y="{top}" width="{x(SALE[1]) - x(SALE[0]):.1f}" height="{PANEL_HEIGHT}" '
        'fill="#fef3c7"/>',
        f'<text x="{x(SALE[0]) + 6:.1f}" y="{top + 16}" fill="#92400e">sale</text>',
        f'<text x="{LEFT + 6}" y="{top + 16}" font-weight="600">{title}</text>',
    ]
    for loss in (0.001, 0.01, 0.1):
        parts.append(f'<path d="M{LEFT} {y(loss):.1f}h{PANEL_WIDTH}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:g}</text>')
    parts.append(f'<path d="M{LEFT} {bottom}h{PANEL_WIDTH}" stroke="#475569"/>')
    for day in range(0, last + 1, 2):
        parts.append(f'<text x="{x(day):.1f}" y="{bottom + 18}" text-anchor="middle">day {day}</text>')
    for name, (colour, _) in LINES.items():
        points = _points([x(day + 0.125) for day in days], [y(loss) for loss in course[name]])
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
        )
    return parts


def _points(xs: Sequence[float], ys: Sequence[float]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
