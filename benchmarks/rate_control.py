"""The rate-control table: real encodes, content by mode by target, against the promises of docs and issue 5.

    python benchmarks/rate_control.py OUT [--clips FOLDER] [--only NAME ...] [--modes MODE ...] [--targets BPP ...]

Made clips (seeded) are always there; ``--clips`` adds the first frames of every video of a folder, shrunk to a
small size. Each cell is one compression by the product; its file is read back, and every figure comes from the
packets' sizes, times and rate indices, and from the PSNR of each frame coded alone at its index. Processor time is
measured beside that of one pass at constant λ. Results are kept in OUT (``cells.jsonl``) and not measured again, so a
run can be broken off and gone on with; ``--again`` measures the chosen cells anew. OUT/table.md and OUT/table.json
hold the table of all that is known for these weights and settings. Exit code 1: a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rate_cells import EXTRA_MODES, MODES, Cell, ClipBench, finite, judge, starved  # noqa: E402
from rate_clips import MADE, Content, made_clip, real_clip, stored  # noqa: E402
from rate_truth import Truth  # noqa: E402

from maevid.codec.interface import CodecOptions  # noqa: E402
from maevid.codec.registry import DEFAULT_CODEC, open_codec  # noqa: E402
from maevid.errors import MaevidError  # noqa: E402

TARGETS = (0.1, 0.3, 0.8)
SIZE = (192, 112)


class Store:
    """Cells by (content, mode, target) in a JSON-lines file, for one set of weights and sizes."""

    def __init__(self, path: Path, setting: str) -> None:
        self._path, self._setting = path, setting
        self.cells: dict[tuple[str, str, float], Cell] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            record = json.loads(line)
            if record.pop("setting") == setting:
                self._put(Cell(**record))

    def _put(self, cell: Cell) -> None:
        self.cells[cell.content, cell.mode, cell.target] = cell

    def add(self, cell: Cell) -> None:
        """Keep a cell, over an older one."""
        self._put(cell)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"setting": self._setting, **asdict(cell)}) + "\n")


def contents(options: argparse.Namespace) -> list[tuple[str, Callable[[], Content]]]:
    """The chosen clips by name, each made when it is needed."""
    found: list[tuple[str, Callable[[], Content]]] = [
        (name, lambda name=name: made_clip(name, options.frames, options.size, options.seed)) for name in MADE
    ]
    if options.clips is not None:
        found += [
            (path.stem, lambda path=path: real_clip(path, options.clip_frames, options.width))
            for path in sorted(options.clips.iterdir())
        ]
    return [(name, make) for name, make in found if options.only is None or name in options.only]


def measure(options: argparse.Namespace) -> Store:
    """Fill the cells that are missing."""
    codec_options = CodecOptions("cpu", weights=options.weights)
    codec = open_codec(options.codec, codec_options)
    width, height = options.size
    real = f"{options.clip_frames} {options.width}"
    setting = f"{codec.identity.hex()} {options.frames} {width}x{height} {real} {options.seed}"
    options.out.mkdir(parents=True, exist_ok=True)
    store = Store(options.out / "cells.jsonl", setting)
    chosen = contents(options)
    jobs = [
        (name, mode, target)
        for name, _ in chosen
        for target in options.targets
        for mode in options.modes
        if options.again or (name, mode, target) not in store.cells
    ]
    began, bench = time.monotonic(), None
    makers = dict(chosen)
    for number, (name, mode, target) in enumerate(jobs):
        if bench is None or bench.content.name != name:
            clip = options.out / f"{name}.nut"
            content = stored(makers[name](), clip)
            truth = Truth(codec, content.frames, options.out / f"{name}-{setting.replace(' ', '-')}.npy")
            bench = ClipBench(content, clip, codec, codec_options, truth)
        left = (time.monotonic() - began) / number * (len(jobs) - number) if number else 0
        _progress(f"{number + 1}/{len(jobs)}  {name} {mode} {target}  {left / 60:.0f} min left")
        store.add(bench.cell(mode, target))
        bench.truth.save()
    _progress("")
    return store


def _size(text: str) -> tuple[int, int]:
    width, height = (int(number) for number in text.split("x"))
    if min(width, height) < 16 or width % 2 or height % 2:
        raise argparse.ArgumentTypeError("two even numbers from 16 on, as in 192x112")
    return width, height


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r" + text.ljust(78)[:78] + ("" if text else "\r"))
        sys.stderr.flush()


_COLUMNS: tuple[tuple[str, Callable[[Cell], str]], ...] = (
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
        least = {"one-pass": 250, "two-pass": 10}.get(mode, 1)
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
    rows = [[show(cell) for _, show in _COLUMNS] for cell in cells]
    table = _markdown([name for name, _ in _COLUMNS], rows)
    (out / "table.md").write_text(f"{by_mode}\n\n{table}\n", encoding="utf-8")
    plain = [{k: finite(v) if isinstance(v, float) else v for k, v in asdict(cell).items()} for cell in cells]
    (out / "table.json").write_text(json.dumps({"modes": modes, "cells": plain}, indent=1), encoding="utf-8")
    return by_mode


def main() -> None:
    """Measure, write the table, print the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=Path, help="a folder of videos")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="contents by name (a file's without its ending)"
    )
    parser.add_argument("--modes", nargs="+", choices=(*MODES, *EXTRA_MODES), default=MODES, metavar="MODE")
    parser.add_argument("--targets", nargs="+", type=float, default=TARGETS, metavar="BPP")
    parser.add_argument("--frames", type=int, default=250, help="of made clips (default: 250)")
    parser.add_argument("--size", type=_size, default=SIZE, help="of made clips (default: 192x112)")
    parser.add_argument("--clip-frames", type=int, default=60, help="of real ones, at most (default: 60)")
    parser.add_argument("--width", type=int, default=320, help="of real ones, at most (default: 320)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", default=DEFAULT_CODEC, help=f"default: {DEFAULT_CODEC}")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--again", action="store_true", help="measure even what is stored")
    options = parser.parse_args()
    try:
        store = measure(options)
    except MaevidError as error:
        sys.exit(f"rate_control: {error}")
    cells = [
        cell
        for (name, mode, target), cell in store.cells.items()
        if (options.only is None or name in options.only)
        and mode in options.modes
        and target in options.targets
    ]
    for cell in cells:
        cell.misses = judge(cell)
    modes = summary(cells)
    print(report(cells, modes, options.out))
    missed = [cell for cell in cells if cell.misses]
    for cell in missed:
        print(f"missed: {cell.content} {cell.mode} {cell.target:g}: {'; '.join(cell.misses)}")
    sys.exit(bool(missed) or any(row["mean_error_missed"] for row in modes))


if __name__ == "__main__":
    main()
