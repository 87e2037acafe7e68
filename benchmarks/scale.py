"""The figures of docs/scale.md: processor time of each step on a frame, and of a Dask task beside the work in it.

    python benchmarks/scale.py CLIP [CLIP ...] [--frames 6] [--index 102]

Processor time, so it holds on a busy machine too. Tasks carry as many bytes as a frame of each clip has, over TCP to a
scheduler and one worker on this machine, eight at a time.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import open_mae
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader

T = TypeVar("T")
EMPTY_TASKS = 300
AT_ONCE = 8


def spent(work: Callable[[], T], each: int) -> tuple[T, float]:
    """What ``work`` gives, and milliseconds of processors for each of so many things."""
    began = time.process_time()
    done = work()
    return done, (time.process_time() - began) / each * 1e3


def measure_codec(clip: str, count: int, index: int) -> int:
    """Print a clip's row; returns the bytes of a frame."""

    def read() -> list[Frame]:
        with VideoReader(clip) as reader:
            return list(islice(reader, count))

    frames, reading = spent(read, count)
    codec = open_mae(CodecOptions("cpu"))
    codec.decode(codec.encode(frames[0], index).packet)
    packets, coding = spent(lambda: [codec.encode(f, index).packet for f in frames], count)
    _, trying = spent(lambda: [codec.estimate_bits([f], (index - 6, index + 6)) for f in frames], count)
    _, decoding = spent(lambda: [codec.decode(packet) for packet in packets], count)
    size = sum(len(packet.to_bytes()) for packet in packets) / count
    print(
        f"{Path(clip).name} {frames[0].width}x{frames[0].height}: read {reading:.1f} ms, encode {coding:.0f} ms "
        f"({size / 1e3:.0f} kB), try two rates {trying:.0f} ms, decode {decoding:.0f} ms",
        flush=True,
    )
    return sum(plane.nbytes for plane in frames[0].planes)


def used(process: int) -> float:
    """Seconds of processors that another process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_tasks(sizes: list[int]) -> None:
    """Print what a task of so many bytes costs the scheduler, the worker and the client."""
    import dask
    from distributed import Client

    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/scheduler.json"
        common = ["--host=127.0.0.1", "--no-dashboard", f"--scheduler-file={file}"]
        processes = [
            subprocess.Popen([sys.executable, "-m", "dask", *words, *common], stderr=subprocess.DEVNULL)
            for words in (["scheduler", "--port=0"], ["worker", "--nthreads=1", "--no-nanny"])
        ]
        try:
            while not Path(file).exists():
                time.sleep(0.1)
            with (
                dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"}),
                Client(scheduler_file=file) as client,
            ):
                client.wait_for_workers(1)
                for size in sizes:
                    count = max(30, EMPTY_TASKS if size < 1000 else EMPTY_TASKS // 5)
                    data = [pickle.dumps(os.urandom(size)) for _ in range(4)]
                    before = [*(used(p.pid) for p in processes), time.process_time()]
                    waiting = []
                    for number in range(count):
                        waiting.append(client.submit(len, data[number % 4], pure=False))
                        if len(waiting) >= AT_ONCE:
                            waiting.pop(0).result()
                    for future in waiting:
                        future.result()
                    after = [*(used(p.pid) for p in processes), time.process_time()]
                    scheduler, worker, own = (
                        (b - a) / count * 1e3 for a, b in zip(before, after, strict=True)
                    )
                    print(
                        f"a task of {size} bytes: scheduler {scheduler:.1f} ms, client {own:.1f} ms, "
                        f"worker {worker:.1f} ms",
                        flush=True,
                    )
        finally:
            for process in processes:
                process.kill()
                process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--index", type=int, default=102)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"start: {time.process_time():.1f} s of processors for Python and PyTorch alone", flush=True)
    sizes = [measure_codec(clip, options.frames, options.index) for clip in options.clips]
    print(f"up to here {time.process_time():.1f} s")
    measure_tasks([10, *sizes])


if __name__ == "__main__":
    main()
