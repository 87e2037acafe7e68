"""The rate-control table: real encodes, content by mode by target, against the promises of docs and issue 5.

    python benchmarks/rate_control.py OUT [--clips FOLDER] [--only NAME ...] [--modes MODE ...] [--targets BPP ...]

Made clips (seeded) are always there; ``--clips`` adds the first frames of every video of a folder, shrunk to a
small size. Each cell is one compression by the product; its file is read back, and every figure comes from the
packets' sizes, times and rate indices, and from the PSNR of each frame coded alone at its index. Processor time is
measured beside that of one pass at constant λ. Results are kept in OUT (``cells.jsonl``) and not measured again, so a
run can be broken off and gone on with; ``--again`` measures the chosen cells anew, ``--report`` none. OUT/table.md and
OUT/table.json hold the table of all that is known for these weights and settings; ``--older`` names weights whose cells
stand where these have none. Exit code 1: a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from rate_cells import EXTRA_MODES, MODES, Cell, ClipBench, judge  # noqa: E402
from rate_clips import MADE, Content, made_clip, real_clip, stored  # noqa: E402
from rate_report import report, summary  # noqa: E402
from rate_truth import Truth  # noqa: E402

from maevid.codec.interface import CodecOptions  # noqa: E402
from maevid.codec.registry import DEFAULT_CODEC, open_codec  # noqa: E402
from maevid.errors import MaevidError  # noqa: E402

TARGETS = (0.1, 0.3, 0.8)
SIZE = (192, 112)


class Store:
    """Cells by (content, mode, target) in a JSON-lines file, for one set of weights and sizes; ``older`` weights, the
    newest first, fill its gaps."""

    def __init__(self, path: Path, weights: str, sizes: str, older: Sequence[str] = ()) -> None:
        self._path, self._weights, self._sizes = path, weights, sizes
        self.cells: dict[tuple[str, str, float], Cell] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        records = [json.loads(line) for line in lines]
        for identity in [*reversed(older), weights]:
            for record in records:
                if record["setting"] == f"{identity} {sizes}":
                    values = {name: value for name, value in record.items() if name != "setting"}
                    self._put(Cell(**values, weights=identity))

    def _put(self, cell: Cell) -> None:
        self.cells[cell.content, cell.mode, cell.target] = cell

    def add(self, cell: Cell) -> None:
        """Keep a cell, over an older one."""
        self._put(cell)
        with self._path.open("a", encoding="utf-8") as file:
            setting = {"setting": f"{self._weights} {self._sizes}"}
            file.write(json.dumps(setting | {k: v for k, v in asdict(cell).items() if k != "weights"}) + "\n")


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
    weights, sizes = codec.identity.hex(), f"{options.frames} {width}x{height} {real} {options.seed}"
    options.out.mkdir(parents=True, exist_ok=True)
    store = Store(options.out / "cells.jsonl", weights, sizes, options.older if options.report else ())
    chosen = contents(options)
    jobs = [
        (name, mode, target)
        for name, _ in chosen
        for target in options.targets
        for mode in options.modes
        if not options.report and (options.again or (name, mode, target) not in store.cells)
    ]
    began, bench = time.monotonic(), None
    makers = dict(chosen)
    for number, (name, mode, target) in enumerate(jobs):
        if bench is None or bench.content.name != name:
            clip = options.out / f"{name}.nut"
            content = stored(makers[name](), clip)
            truth = Truth(
                codec, content.frames, options.out / f"{name}-{weights}-{sizes.replace(' ', '-')}.npy"
            )
            bench = ClipBench(content, clip, codec, codec_options, truth)
        left = (time.monotonic() - began) / number * (len(jobs) - number) if number else 0
        _progress(f"{number + 1}/{len(jobs)}  {name} {mode} {target}  {left / 60:.0f} min left")
        store.add(replace(bench.cell(mode, target), weights=weights))
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
    parser.add_argument(
        "--report", action="store_true", help="measure nothing: write the table of what is stored"
    )
    parser.add_argument(
        "--older", nargs="+", default=[], metavar="ID", help="with --report: identities of older weights"
    )
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
