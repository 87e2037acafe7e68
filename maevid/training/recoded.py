"""Frames as videos have them: pictures moved past a window, coded lossily by an ordinary video codec, and decoded.

Nearly every video that anybody compresses again has been compressed before, and its quantised blocks lie on a grid of
8 or 16 samples that the network's own blocks meet. Still pictures reduced in size show none of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from maevid.training.footage import planes_of

Planes = Sequence[npt.NDArray[np.uint8]]

GRID = 16
"""Macroblocks of these codecs, in luma samples: crops that start on multiples of it keep the blocks' places."""
_FRAMES = (1, 2, 5, 9)
_FASTEST = 12


@dataclass(frozen=True)
class _Coder:
    """An FFmpeg codec and the options for a quality from 0 (worst) to 1."""

    encoder: str
    decoder: str
    options: Callable[[float], dict[str, str]]


def _x264(quality: float, *, still: bool) -> dict[str, str]:
    # Without mbtree=0 x264's compiled loops give other bytes now and then.
    frames = f"keyint={1 if still else 250}:mbtree=0"
    return {"preset": "fast", "crf": f"{34 - 18 * quality:.1f}", "x264-params": frames}


def _scale(worst: int, best: int) -> Callable[[float], dict[str, str]]:
    def options(quality: float) -> dict[str, str]:
        scale = str(round(worst + (best - worst) * quality))
        return {"qmin": scale, "qmax": scale}

    return options


_CODERS = (
    (_Coder("libx264", "h264", lambda quality: _x264(quality, still=False)), 0.55),
    (_Coder("libx264", "h264", lambda quality: _x264(quality, still=True)), 0.15),
    (_Coder("mpeg4", "mpeg4", _scale(10, 2)), 0.15),
    (_Coder("mpeg2video", "mpeg2video", _scale(10, 2)), 0.15),
)


def recoded(planes: Planes, random: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
    """One frame of a made video of a picture.

    ``planes`` are Y, U and V of 4:2:0, uint8, luma sides even and at least 32 samples. The result's luma sides are
    multiples of 16 and at most the picture's. The same picture and state of ``random`` give the same frame.
    """
    height, width = planes[0].shape
    frames = int(random.choice(_FRAMES))
    speed = [2 * int(random.integers(-_FASTEST // 2, _FASTEST // 2 + 1)) for _ in range(2)]
    # A window that fits wherever it goes; pictures too small for the speed stand still.
    room = [abs(s) * (frames - 1) for s in speed]
    inner_height, inner_width = (
        (side - r) // GRID * GRID for side, r in zip((height, width), room, strict=True)
    )
    if inner_height < height // 2 or inner_width < width // 2:
        speed, inner_height, inner_width = [0, 0], height // GRID * GRID, width // GRID * GRID
    top, left = (-s * (frames - 1) if s < 0 else 0 for s in speed)
    coder = _CODERS[int(random.choice(len(_CODERS), p=[share for _, share in _CODERS]))][0]
    options = coder.options(float(random.random()))
    encoder = av.CodecContext.create(coder.encoder, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = inner_width, inner_height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = options
    encoder.thread_count = 1
    packets = []
    for number in range(frames):
        rows, columns = top + number * speed[0], left + number * speed[1]
        window = [
            plane[rows // s : (rows + inner_height) // s, columns // s : (columns + inner_width) // s]
            for plane, s in zip(planes, (1, 2, 2), strict=True)
        ]
        flat = np.concatenate([plane.ravel() for plane in window])
        frame = av.VideoFrame.from_ndarray(flat.reshape(inner_height * 3 // 2, inner_width), format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create(coder.decoder, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    chosen = decoded[int(random.integers(len(decoded)))]
    return planes_of(chosen)
