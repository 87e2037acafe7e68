"""compare codecs on pictures and clips: rate-distortion tables, BD-rates and plots"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import signal
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maevid import __version__
from maevid.atomic import atomic_output
from maevid.cli.common import add_codec_options, codec_options
from maevid.codec.registry import DEFAULT_CODEC, installed_codecs, name_and_effort
from maevid.errors import OutputError, UsageError

if TYPE_CHECKING:
    from maevid.evaluation.runner import Plan

_PREFERRED_REFERENCE = "x264-intra"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "input", nargs="+", type=Path, help="pictures, clips, or folders of them; a folder is a group"
    )
    parser.add_argument(
        "--codecs",
        default=DEFAULT_CODEC,
        metavar="NAME,NAME",
        help=f"registered codecs, NAME@N with --effort N of compress (default: {DEFAULT_CODEC})",
    )
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help=f"compare with this one (default: {_PREFERRED_REFERENCE}, else the first)",
    )
    parser.add_argument("--points", type=int, default=6, metavar="N", help="rate points a codec (default: 6)")
    parser.add_argument(
        "--frames", type=int, default=8, metavar="N", help="evenly spaced frames of a clip (8)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="cores for every codec alike (default: 1)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("report"),
        metavar="FOLDER",
        help="measurements and report (default: report)",
    )
    add_codec_options(parser)


def run(options: argparse.Namespace) -> int:
    """Measure and report; exit code 1 when a codec failed on an input."""
    codecs, reference = _codecs(options.codecs, options.reference)
    if min(options.points, options.frames, options.threads) < 1:
        raise UsageError("--points, --frames and --threads are at least 1")
    try:
        from maevid.evaluation import inputs, measurement, report, runner, tables
        from maevid.evaluation.plot import plot_group
    except ModuleNotFoundError as missing:
        raise UsageError(f"{missing.name} is missing: pip install 'maevid[evaluation]'") from None
    folder: Path = options.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    plan = runner.Plan(
        inputs.find_inputs(options.input),
        codecs,
        options.points,
        options.frames,
        options.threads,
        codec_options(options),
    )
    line = _Line()
    try:
        outcome = runner.run(plan, measurement.Store(folder / "measurements.jsonl"), line)
    except KeyboardInterrupt:
        line.clear()
        print("maevid: interrupted; the same command goes on from here", file=sys.stderr)
        return 128 + signal.SIGINT
    line.clear()
    reports = report.group_reports(outcome.measurements, reference)
    about = _about(plan)
    about["failures"] = [vars(failure) for failure in outcome.failures]
    _write(folder / "report.json", json.dumps(report.to_json(reports, reference, about), indent=1) + "\n")
    _write(folder / "points.csv", report.to_csv(outcome.measurements))
    plots = [path for one in reports for path in plot_group(one, folder)]
    print(tables.report_text(reports, reference))
    print(f"\n{', '.join(str(path) for path in [folder / 'report.json', folder / 'points.csv', *plots])}")
    for failure in outcome.failures:
        print(
            f"maevid: {failure.codec} failed on {failure.input or 'a group'}: {failure.reason}",
            file=sys.stderr,
        )
    return 1 if outcome.failures else 0


def _codecs(listed: str, reference: str | None) -> tuple[list[str], str]:
    """Names of the codecs, each once, and of the reference among them."""
    names = list(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
    known = [codec.name for codec in installed_codecs()]
    for name, _ in map(name_and_effort, names):
        if name not in known:
            raise UsageError(f"no codec {name!r} is installed (installed: {', '.join(known)})")
    if not names:
        raise UsageError("--codecs wants at least one name, such as --codecs mae")
    if reference is None:
        reference = _PREFERRED_REFERENCE if _PREFERRED_REFERENCE in names else names[0]
    if reference not in names:
        raise UsageError(f"--reference {reference} is not among --codecs {','.join(names)}")
    return names, reference


def _about(plan: Plan) -> dict[str, Any]:
    """When, how, where and with which versions."""
    used = {name_and_effort(label)[0] for label in plan.codecs}
    packages = {codec.package: codec.version for codec in installed_codecs() if codec.name in used}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "machine": f"{platform.machine()}, {platform.system()}",
        "threads": plan.threads,
        "frames": plan.frames,
        "versions": {
            "maevid": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "av", "numpy")},
            **packages,
        },
    }


def _write(path: Path, text: str) -> None:
    with atomic_output(path) as temporary:
        temporary.write_text(text)


class _Line:
    """What is measured now, on one line of a terminal; silent when there is none."""

    def __init__(self) -> None:
        self._shown = 0

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty():
            text = text[: shutil.get_terminal_size().columns - 1]
            sys.stderr.write("\r" + text.ljust(self._shown))
            sys.stderr.flush()
            self._shown = len(text)

    def clear(self) -> None:
        """Wipe the line."""
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
