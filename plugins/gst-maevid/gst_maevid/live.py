"""Frames in, packets out, one by one as a live source gives them; knows nothing of GStreamer."""

from __future__ import annotations

from dataclasses import dataclass, field

from maevid.access.codecs import Device
from maevid.codec.interface import FrameCodec
from maevid.pipeline.compress import ignore, never
from maevid.pipeline.events import Control
from maevid.pipeline.frame_loop import FrameLoop
from maevid.rate import RateRequest, RateScale, make_controller
from maevid.stream.packet import Packet
from maevid.video.frame import Frame


@dataclass(frozen=True, slots=True)
class Target:
    """What an encoder aims at: ``bitrate`` in bits a second, or where that is 0 ``quality``, 0 to 100."""

    bitrate: int
    quality: float

    def request(self) -> RateRequest:
        """The rate request."""
        if self.bitrate:
            return RateRequest(bitrate=self.bitrate, passes=1)
        return RateRequest(quality=self.quality)


@dataclass
class _Packets:
    """Where the loop leaves packets until they are fetched."""

    waiting: list[Packet] = field(default_factory=list)

    def write(self, packet: Packet) -> None:
        self.waiting.append(packet)

    def fetch(self) -> list[Packet]:
        fetched, self.waiting = self.waiting, []
        return fetched


class LiveEncoder:
    """Codes frames of one size in one pass. ``delay`` is how many of them it holds back to look ahead.

    Raises UsageError for a target that makes no sense.
    """

    def __init__(self, codec: FrameCodec, device: Device, target: Target) -> None:
        self._device = device
        self._target = target
        self._packets = _Packets()
        self._control = Control()
        request = target.request()
        request.validate()
        controller = make_controller(request, RateScale.of(codec.rate_indices, codec.lam))
        # Several at once would be faster for small pictures, and every one of them would wait for the last.
        controller.in_flight = 1
        self.delay = max(controller.lookahead - 1, 0)
        self._loop = FrameLoop(
            codec,
            controller,
            self._packets,
            ignore,
            self._control,
            measure=False,
            first=None,
            wants_preview=never,
        )

    def retarget(self, target: Target) -> bool:
        """Aim at another target from the next coded frame on; False where that takes a new encoder.

        One bitrate follows on another; a quality is what an encoder has all its life.
        """
        if target == self._target:
            return True
        if not (target.bitrate and self._target.bitrate):
            return False
        self._target = target
        self._control.set_target(target.bitrate)
        return True

    def push(self, frame: Frame) -> list[Packet]:
        """Take a frame; returns the packets that are ready by now. Times must rise."""
        with self._device.selected():
            self._loop.push(frame)
        return self._packets.fetch()

    def finish(self) -> list[Packet]:
        """Code the frames held back; returns their packets. Frames may follow."""
        with self._device.selected():
            self._loop.flush()
        return self._packets.fetch()
