"""What ``inspect`` writes: all frames as CSV and the plots as SVG, under names that do not exist yet."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from maevid.errors import OutputError
from maevid.report import FrameReport
from maevid.tui.figures import Scene, all_figures
from maevid.tui.svg import figure_svg

_FIXED = ("index", "pts", "seconds", "duration", "width", "height", "rate_index", "lam", "bits")


def write_csv(path: Path, reports: Sequence[FrameReport]) -> None:
    """One row a frame, a column for each part, PSNR plane and stage that any frame names; unknown cells are empty.

    Numbers are written exactly. Raises FileExistsError rather than replace a file.
    """
    parts = list(dict.fromkeys(name for r in reports for name in r.parts))
    planes = list(dict.fromkeys(name for r in reports for name in r.psnr))
    stages = list(dict.fromkeys(name for r in reports for name in r.stage_seconds))
    head = [*_FIXED, "bits_per_pixel", *(f"bits_{p}" for p in parts), *(f"psnr_{p}" for p in planes)]
    head += ["psnr_yuv"] * bool(planes) + [f"seconds_{s}" for s in stages] + ["buffer", "scene_cut"]
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for r in reports:
            row: list[object] = [getattr(r, name) for name in _FIXED]
            row += [r.bits_per_pixel, *(r.parts.get(p) for p in parts), *(r.psnr.get(p) for p in planes)]
            row += [r.psnr_yuv] * bool(planes) + [r.stage_seconds.get(s) for s in stages]
            writer.writerow([*row, r.buffer, int(r.scene_cut)])


def export_all(folder: Path, stem: str, reports: Sequence[FrameReport], scene: Scene) -> list[Path]:
    """Write ``STEM-frames.csv`` and one ``STEM-PLOT.svg`` a plot (``STEM-2-…`` and so on if any is taken).

    Returns the paths. Raises OutputError when the folder cannot be written; what was begun is removed.
    """
    pictures = {
        f"{name}.svg": figure_svg(figure) for name, figure in all_figures(scene).items() if not figure.empty
    }
    names = ["frames.csv", *pictures]
    number = 1
    while True:
        prefix = stem if number == 1 else f"{stem}-{number}"
        paths = [folder / f"{prefix}-{name}" for name in names]
        if not any(os.path.lexists(path) for path in paths):
            break
        number += 1
    written: list[Path] = []
    try:
        for path in paths:
            written.append(path)
            if path.suffix == ".csv":
                write_csv(path, reports)
            else:
                with path.open("x", encoding="utf-8") as file:
                    file.write(pictures[path.name.removeprefix(f"{prefix}-")])
    except OSError as error:
        for path in written[: -1 if isinstance(error, FileExistsError) else None]:
            path.unlink(missing_ok=True)
        raise OutputError(f"cannot write {written[-1]}: {error.strerror or error}") from None
    return paths
