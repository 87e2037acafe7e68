"""OpenVINO and ONNX Runtime beside the transforms as they are: time, and what int8 costs in rate and distortion.

    pip install --target TOOLS --no-deps onnx onnxruntime openvino openvino-telemetry onnxscript onnx-ir ml_dtypes \
        protobuf flatbuffers packaging
    PYTHONPATH=.:TOOLS python benchmarks/backends.py [--codec mae] [--height 720] [--rounds 7] [--threads 2]
        [--index 148] [--kodak FOLDER --pictures 3]

Analysis and synthesis of one rate index, blocks to latents and back, go through torch.onnx. The index is fixed, which
is more than a codec could ask for: its gains become constants. int8 is ONNX Runtime's static quantisation of all
convolutions, weights channel by channel, activations at the ranges of made-up pictures at that very index. Every way
works on as many pictures side by side as there are threads, one thread each; they take turns, and times are medians
over the rounds, wall time and the processor time of all threads, in milliseconds a picture. ``whole`` is how much
faster the whole encode or decode would be: all that is not the transform stays as it is.

With ``--kodak`` the pictures are coded with int8 transforms at four rates, and the BD-rate against the codec is told.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import openvino  # noqa: E402
import torch  # noqa: E402
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from maevid.bench.pictures import synthetic_frames  # noqa: E402
from maevid.codec.interface import CodecOptions  # noqa: E402
from maevid.codec.mae import MaeCodec, open_mae, open_mae_fast  # noqa: E402
from maevid.evaluation.bdrate import bd_rate  # noqa: E402
from maevid.evaluation.inputs import find_inputs  # noqa: E402
from maevid.model.transforms import Gains  # noqa: E402
from maevid.model.workers import side_by_side  # noqa: E402
from maevid.pipeline.measure import measured  # noqa: E402
from maevid.report import weighted_psnr  # noqa: E402

INDICES = (70, 120, 170, 220)
Array = np.ndarray[Any, Any]
Run = Callable[[Array], Array]


class _Fixed(nn.Module):
    """A transform at one rate index."""

    def __init__(self, transform: nn.Module, gains: Gains) -> None:
        super().__init__()
        self.transform, self.gains = transform, gains

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.transform(x, self.gains)
        return out


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """What the quantiser sees of the inputs."""

    def __init__(self, inputs: list[Array]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict[str, Array] | None:
        found = next(self._left, None)
        return None if found is None else {"x": found}


def exported(transform: nn.Module, gains: Gains, example: Array, path: Path) -> Path:
    """The transform as ONNX, for inputs of the example's size."""
    module = _Fixed(transform, gains).eval()
    # Not under no_grad, where layers add up long sums in parts.
    torch.onnx.export(
        module,
        (torch.from_numpy(example),),
        path,
        input_names=["x"],
        output_names=["y"],
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    return path


def in_int8(path: Path, inputs: list[Array]) -> Path:
    """The same with all convolutions in int8."""
    out = path.with_suffix(".int8.onnx")
    quantize_static(
        path,
        out,
        _Calibration(inputs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
    )
    return out


def onnx_runtime(path: Path) -> Run:
    """A session with one thread, which many threads may call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def open_vino(path: Path, precision: str, threads: int) -> Run:
    """A model with a stream for each thread."""
    hints = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
    }
    model = openvino.Core().compile_model(path, "CPU", hints)
    own = threading.local()

    def run(x: Array) -> Array:
        if not hasattr(own, "request"):
            own.request = model.create_infer_request()
        return np.array(next(iter(own.request.infer({"x": x}).values())))

    return run


WAYS: dict[str, tuple[bool, Callable[[Path, int], Run]]] = {
    "ONNX Runtime, float32": (False, lambda path, _: onnx_runtime(path)),
    "ONNX Runtime, int8": (True, lambda path, _: onnx_runtime(path)),
    "OpenVINO, float32": (False, lambda path, threads: open_vino(path, "f32", threads)),
    "OpenVINO, bfloat16": (False, lambda path, threads: open_vino(path, "bf16", threads)),
    "OpenVINO, int8": (True, lambda path, threads: open_vino(path, "bf16", threads)),
}
"""Each with whether its convolutions are in int8, and what makes it of a model file for so many threads."""


class Transforms:
    """Analysis and synthesis of a codec at one rate index, for pictures like this one, in some of the ways."""

    def __init__(
        self, codec: MaeCodec, index: int, planes: Any, folder: Path, ways: Iterable[str], threads: int
    ) -> None:
        network = codec.network
        self.indices = network.index_tensor([index])
        gains = network.gains(self.indices)
        blocks = network.load([planes])
        latents = network.quantise(network.analyse(blocks, self.indices), self.indices).latents
        self.inputs = {
            "analysis": np.ascontiguousarray(blocks.float().numpy()),
            "synthesis": np.ascontiguousarray(latents.numpy()),
        }
        modules = {"analysis": network.model.analysis, "synthesis": network.model.synthesis}
        self.ways: dict[str, dict[str, Run]] = {way: {} for way in ways}
        for part, module in modules.items():
            x = self.inputs[part]
            path = exported(module, gains, x, folder / f"{part}.onnx")
            small = in_int8(path, [x])
            for way, parts in self.ways.items():
                int8, make = WAYS[way]
                parts[part] = make(small if int8 else path, threads)


def timed(work: Callable[[], object], pictures: int) -> tuple[float, float]:
    """Wall and processor milliseconds a picture."""
    began, spent = time.perf_counter(), time.process_time()
    work()
    return tuple(  # type: ignore[return-value]
        1e3 * t / pictures for t in (time.perf_counter() - began, time.process_time() - spent)
    )


def speed(codec: MaeCodec, options: argparse.Namespace, folder: Path) -> None:
    """Print the times of all ways."""
    width = options.height * 16 // 18 * 2
    frames = synthetic_frames(width, options.height, options.threads)
    network, index, count = codec.network, options.index, options.threads
    found = Transforms(codec, index, frames[0].planes, folder, WAYS, count)
    packets = [coded.packet for coded in codec.encode_batch(frames, [index] * count)]
    gains = network.gains(found.indices)
    blocks = network.load([frames[0].planes])
    latents = torch.from_numpy(found.inputs["synthesis"]).contiguous(memory_format=torch.channels_last)

    def own(transform: Callable[[Tensor, Gains], Tensor], x: Tensor) -> Callable[[int], object]:
        def run(_: int) -> object:
            with torch.inference_mode():
                return transform(x, gains)

        return run

    works: dict[tuple[str, str], Callable[[], object]] = {
        ("the codec", "encode"): lambda: codec.encode_batch(frames, [index] * count),
        ("the codec", "decode"): lambda: codec.decode_batch(packets),
        ("as it is", "analysis"): lambda: side_by_side(count, own(network._analysis, blocks), range(count)),
        ("as it is", "synthesis"): lambda: side_by_side(
            count, own(network._synthesis, latents), range(count)
        ),
    }
    pool = ThreadPoolExecutor(count)
    for way, parts in found.ways.items():
        for part, run in parts.items():
            works[way, part] = lambda run=run, x=found.inputs[part]: list(pool.map(run, [x] * count))  # type: ignore[misc]
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(options.rounds + 1):
        for name in list(works)[:: -1 if turn % 2 else 1]:
            measured_now = timed(works[name], count)
            if turn:
                times.setdefault(name, []).append(measured_now)
    middle = {
        name: tuple(median(column) for column in zip(*rows, strict=True)) for name, rows in times.items()
    }
    jobs = {"analysis": "encode", "synthesis": "decode"}
    print(f"{codec.name}, {width}x{options.height}, {count} threads: wall (processor) ms a picture")
    for job in ("encode", "decode"):
        wall, spent = middle["the codec", job]
        print(f"  {job} as it is {wall:.0f} ({spent:.0f})")
    for way in ("as it is", *found.ways):
        cells = []
        for part, job in jobs.items():
            (wall, spent), before = middle[way, part], middle["as it is", part][1]
            whole = middle["the codec", job][1]
            cells.append(f"{part} {wall:6.0f} ({spent:5.0f}) whole x{whole / (whole - before + spent):.2f}")
        print(f"  {way:24s}" + "   ".join(cells))


def rate_and_distortion(codec: MaeCodec, options: argparse.Namespace, folder: Path) -> None:
    """Print the BD-rate of int8 transforms against the codec's own, picture by picture."""
    network = codec.network
    chosen = find_inputs([options.kodak])[:: max(1, 24 // options.pictures)][: options.pictures]
    print(f"{codec.name}, int8 in ONNX Runtime: BD-rate, PSNR-YUV 6:1:1, rate indices {INDICES}")
    for one in chosen:
        frame = one.load(1)[0]
        own: list[tuple[float, float]] = []
        small: list[tuple[float, float]] = []
        for index in INDICES:
            # Calibrated on the very picture: as kind as can be to int8.
            found = Transforms(codec, index, frame.planes, folder, ["ONNX Runtime, int8"], 1)
            parts = found.ways["ONNX Runtime, int8"]
            coded = codec.encode(frame, index, reconstruct=True)
            latents = torch.from_numpy(parts["analysis"](found.inputs["analysis"]))
            quantised = network.quantise(latents, found.indices)
            symbols, tables, _ = codec.coded_string(quantised, 0, index)
            rebuilt = parts["synthesis"](np.ascontiguousarray(quantised.latents.numpy()))
            planes = network._levels(torch.from_numpy(rebuilt).bfloat16(), frame.height, frame.width)[0]
            rates = 8 * len(coded.packet.parts[0]), codec.tables.cost_bits(symbols, tables)
            results = coded, replace(coded, reconstruction=planes)
            for curve, rate, result in zip((own, small), rates, results, strict=True):
                curve.append((rate / frame.y.size, weighted_psnr(measured(frame, result).psnr)))
            print(
                f"  {one.name} {index}: {own[-1][0]:.3f} bpp {own[-1][1]:.2f} dB, "
                f"int8 {small[-1][0]:.3f} bpp {small[-1][1]:.2f} dB"
            )
        print(f"  {one.name}: {bd_rate(own, small):+.1f} %", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codec", choices=("mae", "mae-fast"), default="mae")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--index", type=int, default=148, help="rate index (148: some half a bit a pixel)")
    parser.add_argument("--kodak", type=Path, help="measure rate and distortion instead of time")
    parser.add_argument("--pictures", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    codec = (open_mae if options.codec == "mae" else open_mae_fast)(CodecOptions(device="cpu"))
    assert isinstance(codec, MaeCodec)
    versions = {"torch": torch, "onnxruntime": onnxruntime, "openvino": openvino}
    print(", ".join(f"{name} {module.__version__}" for name, module in versions.items()))
    with tempfile.TemporaryDirectory() as name:
        (rate_and_distortion if options.kodak else speed)(codec, options, Path(name))


if __name__ == "__main__":
    main()
