"""Encode and decode frames per second and peak memory of codecs, side by side on as many threads.

    pip install plugins/maevid-classical
    python benchmarks/speed.py [--codecs mae,x264-intra,…] [--height 720] [--input CLIP] [--frames 4] [--rounds 5]
                               [--threads 2] [--bpp 0.5] [--json FILE] [--compressai-site FOLDER]

Every codec is a process of its own, confined to the same cores, and codes frames that lie in memory to packets and
back. They take turns, one at a time, in an order that is turned around every round; the figures are medians over the
rounds, so what else runs on the machine hits all alike. Codecs of pictures code several frames side by side where
they have threads to spare. Each uses the highest rate index whose first packet needs at most so many bits a pixel.
All processes keep freed memory, as ``maevid``'s commands do (``maevid/allocator.py``). Memory is the process's peak;
the last column leaves out what Python, PyTorch and PyAV take before a codec is opened.

``compressai:bmshj2018-hyperprior`` is CompressAI's model with quality 4's N = 128 and M = 192 through its own
``compress`` and ``decompress``, from RGB tensors, padded as its evaluation pads them. Its weights are random, so its
bits mean nothing; its time depends on how many symbols there are far more than on what they are, and its decoder
searches wide tables from one end, so trained weights make it slower rather than faster. It is left out where
CompressAI is not installed; ``--compressai-site`` names a folder that goes first on the path of that process alone,
for CompressAI needs another NumPy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
COMPRESSAI = "compressai:bmshj2018-hyperprior"
CODECS = ("mae", "mae-fast", COMPRESSAI, "x264-intra", "x265-intra", "svtav1-intra", "jpeg")
N, M = 128, 192
Job = Callable[[], object]


def source_frames(options: argparse.Namespace) -> list[Any]:
    """The frames to code: of the clip, or made up."""
    from maevid.bench.pictures import synthetic_frames
    from maevid.video.reader import VideoReader

    if options.input is None:
        return synthetic_frames(2 * round(options.height * 8 / 9), options.height, options.frames)
    with VideoReader(options.input) as reader:
        return list(islice(reader, options.frames))


def maevid_jobs(options: argparse.Namespace) -> tuple[Job, Job, dict[str, Any]]:
    """Encoding and decoding all frames with a registered codec, and what is said of it."""
    from maevid.bench.throughput import index_near
    from maevid.codec.interface import CodecOptions
    from maevid.codec.registry import open_codec

    codec = open_codec(options.worker, CodecOptions(device="cpu"))
    frames = source_frames(options)
    index = index_near(codec, frames[0], options.bpp)
    batch = max(1, codec.batch_size)
    parts = [frames[at : at + batch] for at in range(0, len(frames), batch)]
    packets = [[one.packet for one in codec.encode_batch(part, [index] * len(part))] for part in parts]
    bits = 8 * sum(len(packet.to_bytes()) for part in packets for packet in part)
    about = {
        "frames": len(frames),
        "size": [frames[0].width, frames[0].height],
        "bpp": bits / len(frames) / frames[0].y.size,
        "settings": codec.description,
    }

    def encode() -> None:
        for part in parts:
            codec.encode_batch(part, [index] * len(part))

    def decode() -> None:
        for part in packets:
            codec.decode_batch(part)

    return encode, decode, about


def compressai_jobs(options: argparse.Namespace) -> tuple[Job, Job, dict[str, Any]]:
    """The same for CompressAI; a frame a round is enough for so slow a codec."""
    from importlib.metadata import version

    import torch
    import torch.nn.functional as F
    from compressai.models import ScaleHyperprior
    from compressai.ops import compute_padding

    from maevid.video.rgb import rgb_of

    torch.manual_seed(0)
    model = ScaleHyperprior(N, M).eval()
    model.update(force=True)
    frame = source_frames(options)[0]
    picture = torch.from_numpy(rgb_of(frame.planes, frame.color)).clamp(0, 1)[None]
    pad, unpad = compute_padding(frame.height, frame.width, min_div=2**6)

    @torch.no_grad()
    def encode() -> Any:
        return model.compress(F.pad(picture, pad, mode="constant", value=0))

    coded = encode()

    @torch.no_grad()
    def decode() -> Any:
        return F.pad(model.decompress(coded["strings"], coded["shape"])["x_hat"], unpad)

    about = {
        "frames": 1,
        "size": [frame.width, frame.height],
        "bpp": None,
        "settings": f"CompressAI {version('compressai')}, N = {N}, M = {M}, float32",
    }
    return encode, decode, about


def work(options: argparse.Namespace) -> None:
    """The process of one codec: a line of JSON when it is ready and after each job that is asked for."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    import torch

    from maevid.allocator import keep_freed_memory
    from maevid.bench.throughput import peak_bytes

    keep_freed_memory()
    torch.set_num_threads(options.threads)
    before = peak_bytes()
    encode, decode, about = (compressai_jobs if options.worker == COMPRESSAI else maevid_jobs)(options)
    encode()
    decode()
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        job = {"encode": encode, "decode": decode}[line.strip()]
        began = time.perf_counter()
        job()
        seconds = time.perf_counter() - began
        peak = peak_bytes()
        print(json.dumps({"seconds": seconds, "peak_bytes": peak, "own_bytes": peak - before}), flush=True)


class Worker:
    """A codec's process, seen from outside."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(options.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONWARNINGS": "ignore",
        }
        if name == COMPRESSAI and options.compressai_site:
            paths = [str(options.compressai_site), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", name]
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.about: dict[str, Any] = {}
        self.seconds: dict[str, list[float]] = {"encode": [], "decode": []}
        self.memory: dict[str, int] = {}

    def ready(self) -> str:
        """Wait until it has coded once; gives the reason where it cannot, else nothing."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            return (self._process.stderr.read().strip().splitlines() or ["it ended"])[-1]
        self.about = json.loads(line)
        return ""

    def run(self, job: str) -> None:
        """One job, timed by the process itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(job, file=self._process.stdin, flush=True)
        found = json.loads(self._process.stdout.readline())
        self.seconds[job].append(found["seconds"])
        self.memory = {name: found[name] for name in ("peak_bytes", "own_bytes")}

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def row(self) -> dict[str, Any]:
        """Its figures."""
        rates = {f"{job}_fps": self.about["frames"] / statistics.median(s) for job, s in self.seconds.items()}
        return {
            "codec": self.name,
            **rates,
            **self.memory,
            **self.about,
            "seconds": self.seconds,
        }


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of all codecs that can be run, in the order of the request."""
    installed = {point.name for point in entry_points(group="maevid.codecs")} | {COMPRESSAI}
    workers: list[Worker] = []
    try:
        for name in options.codecs.split(","):
            if name not in installed:
                print(f"{name}: not installed, left out", file=sys.stderr)
                continue
            print(f"starting {name}", file=sys.stderr, flush=True)
            worker = Worker(name, options)
            workers.append(worker)
            reason = worker.ready()
            if reason:
                print(f"{name}: left out ({reason})", file=sys.stderr)
                workers.pop().close()
        for number in range(options.rounds):
            for job in ("encode", "decode"):
                for worker in workers[:: -1 if number % 2 else 1]:
                    print(f"round {number + 1}: {worker.name} {job}", file=sys.stderr, flush=True)
                    worker.run(job)
    finally:
        for worker in workers:
            worker.close()
    return [worker.row() for worker in workers]


def table(rows: list[dict[str, Any]]) -> str:
    """Frames per second, as multiples of CompressAI's where it ran, and memory."""
    from maevid.table import aligned

    base = next((row for row in rows if row["codec"] == COMPRESSAI), None)
    cells = [["codec", "bpp", "encode fps", "decode fps", "enc ×", "dec ×", "peak MiB", "own MiB"]]
    for row in rows:
        bpp = "-" if row["bpp"] is None else f"{row['bpp']:.2f}"
        times = [
            "-" if base is None else f"{row[key] / base[key]:.1f}" for key in ("encode_fps", "decode_fps")
        ]
        fps = [f"{row['encode_fps']:.2f}", f"{row['decode_fps']:.2f}"]
        memory = [f"{row[key] / 2**20:.0f}" for key in ("peak_bytes", "own_bytes")]
        cells.append([row["codec"], bpp, *fps, *times, *memory])
    return aligned(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codecs", default=",".join(CODECS))
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--input", type=Path, metavar="CLIP")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bpp", type=float, default=0.5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compressai-site", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    began = os.getloadavg()[0]
    rows = measure(options)
    if not rows:
        sys.exit("none of the codecs is installed")
    size = "x".join(map(str, rows[0]["size"]))
    print(
        f"{size}, {options.threads} threads, medians of {options.rounds} rounds, "
        f"load before {began:.1f}, after {os.getloadavg()[0]:.1f}"
    )
    print(table(rows))
    if options.json:
        about = {"machine": platform.machine(), "threads": options.threads, "rounds": options.rounds}
        options.json.write_text(json.dumps({**about, "codecs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
