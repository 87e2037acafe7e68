"""How much ``--tui`` slows an encode: the same job with and without it, alternating, under tmux at 120×40.

Run: ``python benchmarks/tui_cost.py CLIP [--runs N] [--bitrate RATE]``. Both sides measure PSNR (the display asks for
it) and read the encode's own time from the line that it ends with, start of the program and model left out. Printed are
all pairs and the medians; the terminal's own work (tmux) counts, as it does for a user.
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

ROOT = Path(__file__).parents[1]


def encode(folder: Path, clip: Path, more: list[str]) -> float:
    """Seconds of one encode in a terminal, from its frames and frames per second."""
    socket, told, out = folder / "tmux.sock", folder / "told", folder / "out.mkv"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "maevid", "compress", str(clip), str(out), *more]
    # Frames a second are printed with one decimal: too coarse, so the job tells its seconds as JSON.
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
    return float(found[1])


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
                seconds = encode(Path(name), options.clip, [*more, "--tui"] if with_tui else more)
                (shown if with_tui else plain).append(seconds)
            print(f"run {run + 1}: {plain[-1]:.2f} s plain, {shown[-1]:.2f} s with --tui", flush=True)
    low, high = statistics.median(plain), statistics.median(shown)
    ratios = [b / a for a, b in zip(plain, shown, strict=True)]
    print(f"medians {low:.2f} s and {high:.2f} s: {100 * (high / low - 1):+.1f} %")
    print(f"median of the pairs' ratios {100 * (statistics.median(ratios) - 1):+.1f} %")


if __name__ == "__main__":
    main()
