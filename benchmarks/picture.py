"""One picture, the same number of bytes: the source and what codecs make of it, side by side.

    pip install plugins/maevid-classical
    python benchmarks/picture.py PICTURE OUT.png [--codecs jpeg,mae] [--bpp 0.25] [--crop X Y W H]

Each codec gets at most the bytes asked for, and at most what the codecs before it took (payloads, without the
packet's header).
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import open_codec
from maevid.pipeline.measure import psnr
from maevid.training.pictures import decode_picture
from maevid.video.frame import Frame, Plane

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Planes = tuple[Plane, Plane, Plane]


def video_frame(planes: Planes) -> av.VideoFrame:
    """Limited-range BT.601 planes as a PyAV frame."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.zeros((samples.shape[0], plane.line_size), np.uint8)
        rows[:, : samples.shape[1]] = samples
        plane.update(rows.tobytes())
    frame.color_range, frame.colorspace = ColorRange.MPEG, Colorspace.ITU601
    return frame


def best_within(codec: FrameCodec, frame: Frame, most_bytes: int) -> tuple[int, Planes]:
    """Bytes and decoded planes at the highest rate index that needs at most so many bytes."""
    low, high = codec.rate_indices.start, codec.rate_indices.stop
    while high - low > 1:
        middle = (low + high) // 2
        fits = len(codec.encode(frame, middle).packet.parts[0]) <= most_bytes
        low, high = (middle, high) if fits else (low, middle)
    encoded = codec.encode(frame, low, reconstruct=True)
    assert encoded.reconstruction is not None
    return len(encoded.packet.parts[0]), encoded.reconstruction


def rgb(planes: Planes) -> npt.NDArray[np.uint8]:
    """Planes as RGB for showing."""
    return video_frame(planes).to_ndarray(format="rgb24")


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--codecs", default="jpeg,mae")
    parser.add_argument("--bpp", type=float, default=0.25)
    parser.add_argument("--crop", type=int, nargs=4, default=(0, 0, 384, 256), metavar=("X", "Y", "W", "H"))
    options = parser.parse_args()
    y, u, v = decode_picture(options.picture)
    source = (y, u, v)
    frame = Frame(*source, 0, Fraction(1, 25))
    panels = [("source", rgb(source))]
    most = int(options.bpp * y.size / 8)
    for name in options.codecs.split(","):
        size, decoded = best_within(open_codec(name, CodecOptions()), frame, most)
        panels.append((f"{name}, {size:,} bytes, {psnr(y, decoded[0]):.1f} dB", rgb(decoded)))
        most = min(most, size)
    left, top, width, height = options.crop
    figure, axes = plt.subplots(
        1, len(panels), figsize=(12, 12 / len(panels) * height / width + 0.35), layout="constrained"
    )
    for axis, (title, picture) in zip(axes, panels, strict=True):
        axis.imshow(picture[top : top + height, left : left + width], interpolation="nearest")
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
