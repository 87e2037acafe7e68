"""The rate-control table on paper: by mode, by content and mode, and cell by cell."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from rate_cells import Cell, finite, starved

LEAST_FRAMES = {"one-pass": 250, "two-pass": 10}
"""Frames of a clip from which a mode promises its rate."""

COLUMNS: tuple[tuple[str, Callable[[Cell], str]], ...] = (
    ("content", lambda c: c.content),
    ("frames", lambda c: str(c.frames)),
    ("mode", lambda c: c.mode),
    ("bpp", lambda c: f"{c.target:g}"),
    ("error", lambda c: _number(c.error, 3, " dB" if c.mode == "psnr" else " %", sign=True)),
    ("underflows", lambda c: "" if c.underflows is None else str(c.underflows)),
    ("worst second", lambda c: _number(c.worst_second, 2, " ×")),
    ("p95 Δlog2 λ", lambda c: _number(c.ripple, 3)),
    ("settle", lambda c: "" if c.settle is None else str(c.settle)),
    ("PSNR lost", lambda c: _number(c.lost, 3, sign=True)),
    ("of mean error", lambda c: _number(c.lost_pooled, 3, sign=True)),
    ("spread", lambda c: _number(c.spread, 2)),
    ("time", lambda c: _number(c.time, 2, " ×")),
    ("weights", lambda c: c.weights),
    ("misses", lambda c: "; ".join([*c.misses, *_remarks(c)])),
)


def _number(value: float | None, places: int, unit: str = "", *, sign: bool = False) -> str:
    return "" if value is None else f"{value:{'+' if sign else ''}.{places}f}{unit}"


def _remarks(cell: Cell) -> list[str]:
    """What is no miss by itself."""
    remarks = [] if cell.outcome == "done" else [f"({cell.outcome})"]
    if starved(cell):
        remarks.append(f"({100 * cell.unreachable:.0f} % of the frames cannot have this rate)")
    return remarks


def summary(cells: Iterable[Cell]) -> list[dict[str, object]]:
    """One record a mode: runs, mean and worst error on clips long enough, mean bars, misses."""
    rows = list(cells)
    found = []
    for mode in dict.fromkeys(cell.mode for cell in rows):
        own = [cell for cell in rows if cell.mode == mode]
        done = [cell for cell in own if cell.error is not None]
        least = LEAST_FRAMES.get(mode, 1)
        counted = [cell for cell in done if cell.frames >= least and not starved(cell)]
        errors = [abs(cell.error or 0.0) for cell in counted]
        mean = statistics.mean(errors) if errors else None
        bar = {"two-pass": 0.3, "one-pass": 1.5}.get(mode)
        long = [cell.time for cell in done if cell.frames >= 100 and cell.time is not None]
        found.append(
            {
                "mode": mode,
                "runs": len(done),
                "refused": len(own) - len(done),
                "counted": len(errors),
                "mean_error": mean,
                "worst_error": max(errors, default=None),
                "mean_error_missed": bar is not None and mean is not None and mean > bar,
                "underflows": sum(cell.underflows or 0 for cell in done),
                "worst_lost": max((cell.lost for cell in done if cell.lost is not None), default=None),
                "mean_lost_pooled": _mean([c.lost_pooled for c in done if c.lost_pooled is not None]),
                "mean_spread": _mean([c.spread for c in done if c.spread is not None]),
                "median_time_of_long_clips": statistics.median(long) if long else None,
                "missed": sum(bool(cell.misses) for cell in own),
            }
        )
    return found


def worst_of(cells: list[Cell]) -> list[list[str]]:
    """For every mode the worst value of each column and the content that has it; one pass where the rate can be had."""
    lines = []
    for mode in dict.fromkeys(cell.mode for cell in cells):
        own = [cell for cell in cells if cell.mode == mode and cell.error is not None and not starved(cell)]
        line = [mode, str(len(own))]
        for _, value, places, unit in WORST:
            known = [(abs(number), number, cell) for cell in own if (number := value(cell)) is not None]
            size, number, cell = max(known, key=lambda one: one[0], default=(0.0, None, None))
            del size
            line.append(
                "" if cell is None else f"{_number(number, places, unit)} ({cell.content} {cell.target:g})"
            )
        lines.append(line)
    return lines


WORST: tuple[tuple[str, Callable[[Cell], float | None], int, str], ...] = (
    ("error", lambda c: c.error if c.frames >= LEAST_FRAMES.get(c.mode, 1) else None, 2, ""),
    ("underflows", lambda c: c.underflows, 0, ""),
    ("worst second", lambda c: c.worst_second, 2, " ×"),
    ("p95 Δlog2 λ", lambda c: c.ripple, 3, ""),
    ("settle", lambda c: c.settle, 0, ""),
    ("PSNR lost", lambda c: max(c.lost, 0.0) if c.lost is not None else None, 3, ""),
    ("of mean error", lambda c: max(c.lost_pooled, 0.0) if c.lost_pooled is not None else None, 3, ""),
    ("time, 100 frames on", lambda c: c.time if c.frames >= 100 else None, 2, " ×"),
)
"""Columns of the table by mode: name, value, places, unit."""


def by_content(cells: list[Cell]) -> list[list[str]]:
    """A line for each content, a column for each mode: the worst error of its targets, and the PSNR of the mean error
    lost at most. Only cells whose rate can be had; ``refused`` where all targets were; ! for a broken promise."""
    modes = list(dict.fromkeys(cell.mode for cell in cells))
    lines = [["content", *modes]]
    for content in dict.fromkeys(cell.content for cell in cells):
        line = [content]
        for mode in modes:
            own = [cell for cell in cells if (cell.content, cell.mode) == (content, mode)]
            done = [cell for cell in own if cell.error is not None and not starved(cell)]
            errors = [cell.error or 0.0 for cell in done]
            lost = [cell.lost_pooled for cell in done if cell.lost_pooled is not None]
            text = "" if not own else "refused" if not errors else f"{max(errors, key=abs):+.2f}"
            text += f" · {max(lost):.2f}" if lost else ""
            line.append(text + (" !" if any(cell.misses for cell in own) else ""))
        lines.append(line)
    return lines


def origins(cells: list[Cell]) -> list[list[str]]:
    """For every mode how many cells of each target are of which weights."""
    targets = sorted({cell.target for cell in cells})
    lines = [["mode", "weights", *(f"{target:g}" for target in targets)]]
    counts = Counter((cell.mode, cell.weights, cell.target) for cell in cells)
    for mode, weights in sorted({(cell.mode, cell.weights) for cell in cells}):
        lines.append([mode, weights, *(str(counts[mode, weights, target] or "") for target in targets)])
    return lines


def _mean(values: list[float]) -> float | None:
    return statistics.mean(values) if values else None


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def report(cells: list[Cell], modes: list[dict[str, object]], out: Path) -> str:
    """Write table.md and table.json; returns the table by mode."""
    heads = list(modes[0]) if modes else []
    texts = [
        [
            f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
            for value in row.values()
        ]
        for row in modes
    ]
    by_mode = _markdown([head.replace("_", " ") for head in heads], texts)
    rows = [[show(cell) for _, show in COLUMNS] for cell in cells]
    table = _markdown([name for name, _ in COLUMNS], rows)
    worst = _markdown(["mode", "cells", *(name for name, *_ in WORST)], worst_of(cells))
    found, contents = origins(cells), by_content(cells)
    parts = (_markdown(found[0], found[1:]), by_mode, worst, _markdown(contents[0], contents[1:]), table)
    (out / "table.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    plain = [{k: finite(v) if isinstance(v, float) else v for k, v in asdict(cell).items()} for cell in cells]
    (out / "table.json").write_text(json.dumps({"modes": modes, "cells": plain}, indent=1), encoding="utf-8")
    return by_mode
