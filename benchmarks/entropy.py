"""Time and length of entropy coders on a 720p frame at 0.5 bpp and on small frames, and their start-up time.

Run ``python benchmarks/entropy.py``. The symbols are Gaussian at 64 scales, most of them small, as latents
are: 330,000 of 1.4 bits and 15,000 hyper-latents of 3. Libraries that are not installed are passed over
(``pip install compressai constriction``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import entropy_alternatives as others  # noqa: E402

from maevid.codec.entropy import (  # noqa: E402
    Decoder,
    FrequencyTables,
    encode,
    gaussian_tables,
    interpreted,
)
from maevid.codec.entropy.kernels import Kernels, default_kernels  # noqa: E402

SCALES = np.exp(np.linspace(np.log(0.2), np.log(60), 64))
TABLES = gaussian_tables(SCALES)
INTERPRETED = Kernels("interpreted", interpreted.encode_symbols, interpreted.decode_symbols)


def frame(latents: int, hyper: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and table indexes of one frame without escapes (not every alternative has them)."""
    rng = np.random.default_rng(seed)
    indexes = np.concatenate([np.full(hyper, 32), np.minimum(rng.geometric(0.08, latents) - 1, 63)])
    symbols = np.round(rng.normal(size=len(indexes)) * SCALES[indexes])
    reach = -TABLES.minimum[indexes]
    return np.clip(symbols, -reach, reach).astype(np.int32), indexes.astype(np.uint8)


def make_maevid(tables: FrequencyTables, kernels: Kernels | None = None) -> others.Coder:
    """The coder that was chosen, through its public functions."""

    def run_encode(symbols: np.ndarray, indexes: np.ndarray) -> tuple[bytes, int]:
        data = encode(symbols, indexes, tables, kernels=kernels)
        return data, len(data)

    def run_decode(data: bytes, indexes: np.ndarray) -> np.ndarray:
        decoder = Decoder(data, tables, kernels=kernels)
        symbols = decoder.decode(indexes)
        decoder.finish()
        return symbols

    return run_encode, run_decode


def best(function: Callable[[], Any], repeats: int) -> float:
    """The least wall time of several calls, in milliseconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def two_threads(function: Callable[[], Any], repeats: int) -> float:
    """Frames a second in two threads over frames a second in one."""

    def several() -> None:
        for _ in range(repeats):
            function()

    alone = best(several, 3)

    def both() -> None:
        threads = [threading.Thread(target=several) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return 2 * alone / best(both, 3)


def compare_coders() -> None:
    """Print one line a coder: times, bytes beyond the tables' cost, gain of a second thread."""
    symbols, indexes = frame(330_000, 15_000)
    ideal = TABLES.cost_bits(symbols, indexes) / 8
    print(f"{len(symbols)} symbols, {ideal:.0f} bytes by the tables")
    print(f"{'coder':34} {'encode ms':>9} {'decode ms':>9} {'bytes over':>10} {'%':>7} {'2 threads':>9}")
    coders: list[tuple[str, Callable[[], others.Coder], int]] = [
        ("maevid, compiled", lambda: make_maevid(TABLES, default_kernels()), 15),
        ("maevid, interpreted", lambda: make_maevid(TABLES, INTERPRETED), 3),
        *(
            (
                f"Numba, {lanes} x {bits} bit",
                lambda n=lanes, b=bits: others.make_numba_lanes(TABLES, n, b),
                15,
            )
            for lanes, bits in ((1, 32), (1, 40), (2, 40), (4, 40), (8, 40))
        ),
        *(
            (f"NumPy, {lanes} x 40 bit", lambda n=lanes: others.make_numpy_lanes(TABLES, n), 3)
            for lanes in (4, 32, 128, 256)
        ),
        ("CompressAI", lambda: others.make_compressai(TABLES), 7),
        ("constriction, table by table", lambda: others.make_constriction(TABLES), 7),
    ]
    for name, make, repeats in coders:
        try:
            run_encode, run_decode = make()
        except ImportError as reason:
            print(f"{name:34} not measured: {reason}")
            continue
        coded, length = run_encode(symbols, indexes)
        assert np.array_equal(run_decode(coded, indexes), symbols), name
        times = (
            best(lambda: run_encode(symbols, indexes), repeats),  # noqa: B023
            best(lambda: run_decode(coded, indexes), repeats),  # noqa: B023
        )
        gain = two_threads(lambda: run_decode(coded, indexes), max(1, repeats // 4))  # noqa: B023
        over = length - ideal
        print(f"{name:34} {times[0]:9.2f} {times[1]:9.2f} {over:10.1f} {100 * over / ideal:7.3f} {gain:9.2f}")
    print(f"cost_bits: {best(lambda: TABLES.cost_bits(symbols, indexes), 15):.2f} ms")


def small_frames() -> None:
    """Print the mean length beyond the tables' cost for small frames, in one string and in two."""
    print(f"\n{'frame':34} {'bytes':>9} {'one string':>12} {'two strings':>12}")
    for name, latents, hyper in (
        ("320x180 at 0.02 bpp", 700, 60),
        ("320x180 at 0.1 bpp", 3800, 240),
        ("720p at 0.05 bpp", 31000, 3600),
    ):
        over = np.zeros(2)
        for seed in range(50):
            symbols, indexes = frame(latents, hyper, seed)
            ideal = TABLES.cost_bits(symbols, indexes) / 8
            parts = np.split(symbols, [hyper]), np.split(indexes, [hyper])
            split = sum(len(encode(s, i, TABLES)) for s, i in zip(*parts, strict=True))
            over += np.array([len(encode(symbols, indexes, TABLES)), split]) - ideal
        print(f"{name:34} {ideal:9.0f} {over[0] / 50:+12.2f} {over[1] / 50:+12.2f}")


def start_up() -> None:
    """Print what a fresh process pays before its first coded symbol."""
    code = (
        "import time, numpy\nbegan = time.perf_counter()\n{}\n"
        "print(f'{{time.perf_counter() - began:.2f}}', end='')"
    )
    first = (
        "from maevid.codec.entropy import encode, gaussian_tables\n"
        "encode(numpy.zeros(9, 'i4'), numpy.zeros(9, 'i4'), gaussian_tables([1.0]))"
    )
    print("\nfresh process, seconds after NumPy (second of two runs where not said otherwise)")
    with tempfile.TemporaryDirectory() as cache:
        for name, body, runs, environment in (
            ("maevid, import only", "import maevid.codec.entropy", 2, {}),
            ("maevid, first use on a machine", first, 1, {"NUMBA_CACHE_DIR": cache}),
            ("maevid, later", first, 1, {"NUMBA_CACHE_DIR": cache}),
            ("maevid, without Numba", "import sys; sys.modules['numba'] = None\n" + first, 2, {}),
            ("Numba", "import numba", 2, {}),
            ("PyTorch", "import torch", 2, {}),
            ("PyTorch and CompressAI's coder", "import torch, compressai.ans", 2, {}),
            ("constriction", "import constriction", 2, {}),
        ):
            inherited = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
            for _ in range(runs):
                done = subprocess.run(
                    [sys.executable, "-c", code.format(body)],
                    env=inherited | environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
            print(f"{name:34} {done.stdout or 'not installed'}")


if __name__ == "__main__":
    compare_coders()
    small_frames()
    start_up()
