"""The curve of a run: score and R-D points of the held-out pictures over hours of training."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from maevid.errors import ModelError


def plot_run(folder: Path, path: Path) -> None:
    """Draw ``validation.jsonl`` of a run as PNG or SVG, by ``path``'s suffix. Raises ModelError without a record."""
    record = folder / "validation.jsonl"
    if not record.exists():
        raise ModelError(f"{folder} holds no record of a training ({record.name} is missing)")
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    hours = [row["seconds"] / 3600 for row in rows]
    with mpl.rc_context({"svg.hashsalt": "maevid", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        over_time, points = figure.subplots(1, 2)
        over_time.plot(hours, [row["score"] for row in rows], "o-", markersize=3)
        over_time.set(xlabel="hours of training", ylabel="mean ln(R + λ·255²·D)", title="held-out pictures")
        for row, colour in ((rows[0], "0.6"), (rows[-1], "black")):
            rates, qualities = zip(*((p[1], p[3]) for p in row["points"]), strict=True)
            points.plot(rates, qualities, "o-", color=colour, markersize=3, label=f"step {row['step']:,}")
        points.set(
            xlabel="bits a luma sample", ylabel="PSNR-Y (dB)", xscale="log", title="first and last record"
        )
        points.legend(frameon=False)
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
