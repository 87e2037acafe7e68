"""What the encoder says of each frame. Progress line, JSON lines, statistics file and TUI are its readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FrameReport:
    """One coded frame, told by the encoder in presentation order.

    ``bits`` counts every bit of the packet, header included; ``parts`` splits it by name
    (for `mae`: ``header``, ``hyper``, ``latent``). ``psnr`` holds dB by plane (``y``, ``u``, ``v``) and is
    empty when the encoder was told not to measure; an exact plane is 100 dB. ``stage_seconds`` holds wall time by
    stage (``decode``, ``analysis``, ``entropy``, ``synthesis``, ``mux``). ``buffer`` is the fullness of the
    leaky bucket after the frame, 0..1, or None without a peak limit; below 0 it is an underflow, by the part of
    the bucket that lacked.
    """

    index: int
    pts: int
    seconds: float
    duration: float
    width: int
    height: int
    rate_index: int
    lam: float
    bits: int
    parts: Mapping[str, int] = field(default_factory=dict)
    psnr: Mapping[str, float] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    buffer: float | None = None
    scene_cut: bool = False

    @property
    def bits_per_pixel(self) -> float:
        """Packet bits over luma samples."""
        return self.bits / (self.width * self.height)

    @property
    def psnr_yuv(self) -> float | None:
        """(6·Y + U + V) / 8 of the PSNRs in dB; None when they were not measured."""
        if not self.psnr:
            return None
        return weighted_psnr(self.psnr)


def weighted_psnr(psnr: Mapping[str, float]) -> float:
    """PSNR-YUV: (6·Y + U + V) / 8 of the planes' PSNRs in dB."""
    return (6 * psnr["y"] + psnr["u"] + psnr["v"]) / 8
