"""How much ``--tui`` slows an encode: the same job with and without it, alternating, under tmux at 120×40.

Run: ``python benchmarks/tui_cost.py CLIP [--runs N] [--bitrate RATE]``. Both sides measure PSNR (the display asks for
it) and read the encode's own time from the line that it ends with, start of the program and model left out. Printed are
all pairs and the medians. Processor time holds the start of the program too (with ``--tui`` that of Textual); unlike
the seconds it tells the truth on a machine where others work as well.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Runs a command and writes the processor seconds that it took.
WRAP = """
import resource, subprocess, sys
subprocess.run(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(str(used.ru_utime + used.ru_stime))
"""
ROOT = Path(__file__).parents[1]


def encode(folder: Path, clip: Path, more: list[str]) -> tuple[float, float]:
    """Seconds of one encode in a terminal as its summary tells them, and the process's processor seconds."""
    socket, told, out, used = folder / "tmux.sock", folder / "told", folder / "out.mkv", folder / "used"
    told.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-c",
        WRAP,
        str(used),
        sys.executable,
        "-m",
        "maevid",
        "compress",
        str(clip),
        str(out),
        *more,
    ]
    line = f"{shlex.join(command)} --json > {shlex.quote(str(told))}.part; mv {told}.part {told}"
    tmux = ["tmux", "-u", "-S", str(socket)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "COLORTERM": "truecolor"}
    start = [*tmux, "-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", line]
    subprocess.run(start, check=True, env=environment)
    while not told.exists():
        time.sleep(0.3)
        if "--tui" in more:
            screen = subprocess.run(
                [*tmux, "capture-pane", "-p"], capture_output=True, text=True, check=False
            )
            if "q leaves" in screen.stdout:
                subprocess.run([*tmux, "send-keys", "q"], check=True)
    found = re.search(r'"seconds":\s*([0-9.]+)[^{}]*"damaged"', told.read_text())
    assert found is not None, told.read_text()[-500:]
    return float(found[1]), float(used.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bitrate", default="600k")
    options = parser.parse_args()
    more = ["--bitrate", options.bitrate, "--measure"]
    plain, shown = [], []
    with tempfile.TemporaryDirectory() as name:
        for run in range(options.runs):
            for with_tui in (run % 2 == 0, run % 2 == 1):
                taken = encode(Path(name), options.clip, [*more, "--tui"] if with_tui else more)
                (shown if with_tui else plain).append(taken)
            (a, cpu_a), (b, cpu_b) = plain[-1], shown[-1]
            print(
                f"run {run + 1}: plain {a:.2f} s (processor {cpu_a:.2f} s), --tui {b:.2f} s ({cpu_b:.2f} s)",
                flush=True,
            )
    for place, what in enumerate(("seconds of the encode", "processor seconds of the process")):
        low, high = (statistics.median(pair[place] for pair in side) for side in (plain, shown))
        print(f"{what}, medians: {low:.2f} plain, {high:.2f} with --tui, {100 * (high / low - 1):+.1f} %")


if __name__ == "__main__":
    main()
