"""Draw the documents' plots from result files, as SVG and without any library: the same results give the same bytes.

python bench/plots.py            docs/kernels/break_even.svg from bench/results/break_even.json
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE, TARGET = ROOT / "bench" / "results" / "break_even.json", ROOT / "docs" / "kernels" / "break_even.svg"

WIDTH, HEIGHT, LEFT, TOP, LEGEND, BOTTOM = 860, 440, 60, 40, 210, 50
FROM, TO = 30.0, 100.0  # percent of zeros
LEAST, MOST = 0.25, 32.0  # times as fast
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def across(zeros: float) -> float:
    return LEFT + (zeros - FROM) / (TO - FROM) * (WIDTH - LEFT - LEGEND)


def down(times: float) -> float:
    bounded = min(max(times, LEAST), MOST)
    return TOP + math.log(MOST / bounded) / math.log(MOST / LEAST) * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{words}</text>'


def panel(title: str, results: Sequence[dict[str, Any]], layers: Sequence[dict[str, Any]]) -> list[str]:
    """One set of axes with a line per shape, and a dot per pruned layer."""
    right = WIDTH - LEGEND
    parts = [text(LEFT, TOP - 14, title, ' font-weight="bold"')]
    for times in (2.0**power for power in range(-2, 6)):
        style = 'stroke="#000" stroke-width="1.5"' if times == 1 else 'stroke="#ddd"'
        y = down(times)
        parts += [f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" {style}/>']
        parts += [text(LEFT - 6, y + 4, f"{times:g}×", ' text-anchor="end"')]
    for zeros in range(int(FROM), int(TO) + 1, 10):
        parts.append(text(across(zeros), HEIGHT - BOTTOM + 18, f"{zeros} %", ' text-anchor="middle"'))
    parts.append(text((LEFT + right) / 2, HEIGHT - 12, "weights that are zero", ' text-anchor="middle"'))
    for i, r in enumerate(results):
        colour = COLOURS[i % len(COLOURS)]
        points = " ".join(f"{across(int(z)):.1f},{down(1 / v):.1f}" for z, v in r["relative"].items())
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(text(right + 12, TOP + 14 + 20 * i, r["shape"], f' fill="{colour}"'))
    shown = [r for r in layers if r["zeros"] >= FROM]
    for r in shown:
        x, y = across(r["zeros"]), down(r["dense"] / r["sparse"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="none" stroke="#555"/>')
    if shown:
        parts.append(text(right + 12, TOP + 14 + 20 * len(results), "○ pruned SqueezeNet", ' fill="#555"'))
    return parts


def drawing(document: dict[str, Any]) -> str:
    """Convolutions above, matrix products below: how many times as fast as the best dense step the sparse step is."""
    linear = [r for r in document["results"] if r["method"] == "linear"]
    convolutions = [r for r in document["results"] if r["method"] != "linear"]
    upper = panel("Convolutions: how many times as fast as dense", convolutions, document["layers"])
    lower = panel("Matrix products: how many times as fast as dense", linear, ())
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {2 * HEIGHT}" font-family="sans-serif"',
        ' font-size="13">', f'<rect width="{WIDTH}" height="{2 * HEIGHT}" fill="#fff"/>',
        *upper, f'<g transform="translate(0 {HEIGHT})">', *lower, "</g>", "</svg>", "",
    ])  # fmt: skip


if __name__ == "__main__":
    TARGET.write_text(drawing(json.loads(SOURCE.read_text())))
