"""What every frame of a clip costs and looks like at a rate index, by coding it; kept in a file between runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maevid.codec.interface import FrameCodec
from maevid.pipeline.measure import psnr
from maevid.video.frame import Frame

Array = npt.NDArray[np.float64]

_BATCH = 8
_CLOSE = 4
"""Rate indices between which bits and PSNR of a clip are interpolated."""


class Truth:
    """Bits of the packet and PSNR-Y in dB of each frame at each rate index; NaN in the file where not yet asked for."""

    def __init__(self, codec: FrameCodec, frames: tuple[Frame, ...], path: Path) -> None:
        self._codec, self._frames, self._path = codec, frames, path
        shape = (2, len(frames), codec.rate_indices.stop)
        stored = np.load(path) if path.exists() else None
        self._known = stored if stored is not None and stored.shape == shape else np.full(shape, np.nan)
        self.ends = codec.rate_indices.start, codec.rate_indices.stop - 1

    def frame(self, frame: int, index: int) -> tuple[int, float]:
        """Bits and PSNR-Y of one frame."""
        self._code([frame], index)
        bits, decibels = self._known[:, frame, index]
        return int(bits), float(decibels)

    def _code(self, frames: Sequence[int], index: int) -> None:
        """Get to know frames at an index; as the product does, several small ones in one batch."""
        missing = [frame for frame in frames if np.isnan(self._known[0, frame, index])]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            sources = [self._frames[frame] for frame in batch]
            coded = self._codec.encode_batch(sources, [index] * len(batch), reconstruct=True)
            for frame, source, one in zip(batch, sources, coded, strict=True):
                assert one.reconstruction is not None
                bits = 8 * len(one.packet.to_bytes())
                self._known[:, frame, index] = bits, psnr(source.y, one.reconstruction[0])

    def clip(self, index: int) -> tuple[int, float]:
        """Bits and mean PSNR-Y of the whole clip at one index."""
        self._code(range(len(self._frames)), index)
        bits, decibels = self._known[:, :, index]
        return int(bits.sum()), float(decibels.mean())

    def bits(self, index: int) -> list[int]:
        """Bits of every frame at one index."""
        self._code(range(len(self._frames)), index)
        return [int(bits) for bits in self._known[0, :, index]]

    def mean_error(self, indices: list[int]) -> float:
        """Mean over the frames, one index each, of the mean squared error of luma as PSNR in dB."""
        for index in set(indices):
            self._code([frame for frame, own in enumerate(indices) if own == index], index)
        decibels = np.array([self._known[1, frame, index] for frame, index in enumerate(indices)])
        return float(-10 * np.log10(np.mean(10 ** (-decibels / 10))))

    def bracket(self, total: float) -> tuple[int, int] | None:
        """Two indices close to each other between which the clip has ``total`` bits; None where none has."""
        low, high = self.ends
        below, above = self.clip(low)[0], self.clip(high)[0]
        if not below <= total <= above:
            return None
        while high - low > _CLOSE:
            part = np.log(total / below) / np.log(above / below) if above > below else 0.5
            middle = min(max(round(low + part * (high - low)), low + 2), high - 2)
            bits = self.clip(middle)[0]
            # The curve is nearly straight: the other end is taken just beyond the guess.
            if bits <= total:
                low, below = middle, bits
                beyond = min(middle + _CLOSE, high)
                if self.clip(beyond)[0] >= total:
                    high, above = beyond, self.clip(beyond)[0]
            else:
                high, above = middle, bits
                beyond = max(middle - _CLOSE, low)
                if self.clip(beyond)[0] <= total:
                    low, below = beyond, self.clip(beyond)[0]
        return low, high

    def best_constant(self, total: float) -> tuple[int, float, float] | None:
        """The index nearest to ``total`` bits; at exactly so many: mean PSNR-Y, and PSNR of the mean error.

        Both PSNRs by interpolation over ln(bits); None where no index has so many or so few.
        """
        ends = self.bracket(total)
        if ends is None:
            return None
        bits = np.log([self.clip(index)[0] for index in ends])
        means = [self.clip(index)[1] for index in ends]
        pooled = [self.mean_error([index] * len(self._frames)) for index in ends]
        at = np.log(total)
        nearest = ends[int(np.argmin(np.abs(bits - at)))]
        rising = bits + np.array([0.0, 1e-12])
        return nearest, float(np.interp(at, rising, means)), float(np.interp(at, rising, pooled))

    def save(self) -> None:
        """Keep what is known."""
        partial = self._path.with_suffix(".part.npy")
        np.save(partial, self._known)
        partial.replace(self._path)
