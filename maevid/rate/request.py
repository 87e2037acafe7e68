"""What the user asked of the rate controller, checked for sense before any work starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from maevid.errors import UsageError
from maevid.rate.parsing import Zone, format_rate, format_size

Mode = Literal["quality", "bitrate", "size", "psnr", "frame-bytes"]
DEFAULT_QUALITY = 50.0


@dataclass(frozen=True, slots=True)
class RateRequest:
    """One of ``quality`` (0..100), ``lam``, ``bitrate`` (bit/s), ``size`` (bytes), ``psnr`` (dB, mean
    PSNR-Y), ``frame_bytes``; none of them means quality 50. The rest refines it.

    ``passes`` None chooses: two where a file is planned ahead (``bitrate``, ``size``, ``psnr``, or any peak
    limit), one otherwise. ``maxrate`` (bit/s) without ``bufsize`` (bits) gets a buffer of one second.
    ``lam_min`` and ``lam_max`` bound λ. ``smooth`` is g of λ_i ∝ D_i^g, 0..1: 0 is least total distortion.
    Measured on three clips at 0.3 bits per pixel (docs/rate-control.md): 0.5 cost 0.02 to 0.29 dB of mean PSNR and at
    most 0.03 dB of the PSNR of the mean error, 1 cost 0.04 to 0.56 and at most 0.12 dB; the deviation of PSNR over the
    frames fell by a quarter and by half.
    ``best_effort`` goes on at the limit where a target is out of reach.
    """

    quality: float | None = None
    lam: float | None = None
    bitrate: float | None = None
    size: int | None = None
    psnr: float | None = None
    frame_bytes: int | None = None
    passes: int | None = None
    maxrate: float | None = None
    bufsize: float | None = None
    zones: tuple[Zone, ...] = ()
    lam_min: float | None = None
    lam_max: float | None = None
    smooth: float = 0.0
    best_effort: bool = False

    @property
    def mode(self) -> Mode:
        """Which target rules."""
        if self.bitrate is not None:
            return "bitrate"
        if self.size is not None:
            return "size"
        if self.psnr is not None:
            return "psnr"
        return "quality" if self.frame_bytes is None else "frame-bytes"

    @property
    def two_pass(self) -> bool:
        """Whether the frames are measured before they are coded."""
        if self.passes is not None:
            return self.passes == 2
        return self.mode in ("bitrate", "size", "psnr") or (
            self.mode == "quality" and self.maxrate is not None
        )

    @property
    def needs_psnr(self) -> bool:
        """Whether the first pass must measure distortion as well as rate."""
        return self.two_pass and (self.psnr is not None or self.smooth > 0)

    @property
    def takes_rungs(self) -> bool:
        """Whether nothing but the total decides on a frame's index, so that indices that are a bad bargain can be left
        out (:mod:`maevid.rate.rungs`)."""
        return self.two_pass and not (self.zones or self.smooth or self.maxrate)

    def rate_near(self, duration: float | None) -> float | None:
        """The bitrate (bit/s) near which a clip of ``duration`` seconds (None: unknown) will end, if known."""
        if self.size is not None and duration:
            return 8 * self.size / duration
        return self.bitrate

    @property
    def buffer_bits(self) -> float | None:
        """Size of the leaky bucket in bits; None without a peak limit."""
        return None if self.maxrate is None else self.bufsize or self.maxrate

    def notes(self) -> list[str]:
        """What the request implies without saying it, one line each, for the user to read."""
        if self.maxrate is None or self.bufsize is not None:
            return []
        return [f"--maxrate without --bufsize: a buffer of one second ({format_size(self.maxrate / 8)})"]

    def validate(self) -> None:
        """Raise UsageError with one line for the first thing that makes no sense."""
        targets = {
            "--quality": self.quality,
            "--lam": self.lam,
            "--bitrate": self.bitrate,
            "--size": self.size,
            "--psnr": self.psnr,
            "--frame-bytes": self.frame_bytes,
        }
        given = [name for name, value in targets.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: give one target")
        numbers = {**targets, "--maxrate": self.maxrate, "--bufsize": self.bufsize}
        numbers |= {"--lam-min": self.lam_min, "--lam-max": self.lam_max}
        for name, value in numbers.items():
            if value is not None and name != "--quality" and not 0 < value < math.inf:
                raise UsageError(f"{name} must be positive")
        if self.quality is not None and not 0 <= self.quality <= 100:
            raise UsageError("--quality goes from 0 to 100")
        if not 0 <= self.smooth <= 1:
            raise UsageError("--smooth goes from 0 (least distortion) to 1 (even quality)")
        self._validate_together()

    def _validate_together(self) -> None:
        if self.passes not in (None, 1, 2):
            raise UsageError("--passes is 1 or 2")
        if self.passes == 1 and self.mode in ("size", "psnr"):
            raise UsageError(f"--{self.mode} needs two passes: leave out --passes 1 or give a bitrate")
        if self.passes == 2 and self.mode == "frame-bytes":
            raise UsageError("--frame-bytes works in one pass: leave out --passes 2")
        if self.smooth and (not self.two_pass or self.mode == "quality"):
            raise UsageError("--smooth needs two passes and a bitrate, size or PSNR to aim at")
        if self.bufsize is not None and self.maxrate is None:
            raise UsageError("--bufsize needs --maxrate")
        if self.maxrate is not None and self.bitrate is not None and self.maxrate < self.bitrate:
            raise UsageError(
                f"--maxrate {format_rate(self.maxrate)} lies below the bitrate {format_rate(self.bitrate)}"
            )
        if self.lam_min is not None and self.lam_max is not None and self.lam_max < self.lam_min:
            raise UsageError("--lam-max lies below --lam-min")
        last = -1.0
        for zone in sorted(self.zones, key=lambda z: z.start):
            if zone.start <= last:
                raise UsageError(f"two zones cover frame {zone.start}")
            last = math.inf if zone.end is None else zone.end
