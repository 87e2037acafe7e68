"""The boundary between encoder and display: events that go up, commands that come down, as typed protocols.

The encoder publishes the events of :mod:`maevid.pipeline.events` into a mailbox (:class:`maevid.tui.mailbox.Mailbox`
is one) and obeys commands; it never learns who reads. The display draws what the mailbox holds; it never waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from maevid.pipeline.events import Event, Planes
from maevid.report import FrameReport
from maevid.video.frame import ColorTags

FloatArray = npt.NDArray[np.float64]


class Publisher(Protocol):
    """Where an encoder puts its events: thread-safe, bounded, and it never waits for the reader."""

    def publish(self, event: Event) -> None:
        """Take one event."""

    def wants_preview(self) -> bool:
        """Whether a preview made now would be shown; ask before spending time on one."""


class EncodeSession(Protocol):
    """An encode in a thread of its own. Every command returns at once; the encoder answers by events.

    Commands that come too late (after the last frame, or twice) do nothing.
    """

    def start(self, publisher: Publisher) -> None:
        """Begin; called once. Events arrive at ``publisher`` until a final :class:`PhaseChanged`."""

    def pause(self) -> None:
        """Come to rest after the frames at hand; answered by ``PauseChanged(True)``."""

    def resume(self) -> None:
        """Go on; answered by ``PauseChanged(False)``."""

    def set_target(self, bitrate: float) -> None:
        """Aim the rest of the clip at ``bitrate`` bits per second; answered by :class:`TargetChanged`."""

    def finish_early(self) -> None:
        """Close the file after the frames at hand: complete and valid. Also ends a pause."""

    def abort(self) -> None:
        """Stop and leave nothing behind. Also ends a pause."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most ``timeout`` seconds; whether it has come. Raises nothing of the encode's."""


@dataclass(frozen=True, slots=True)
class FactGroup:
    """Key-value text under a heading: stream facts, tags, weights, check results."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FramePicture:
    """A decoded frame for showing; ``source`` is there only where the user gave the source."""

    coded: Planes
    source: Planes | None = None
    color: ColorTags = field(default_factory=ColorTags)
    pixel_aspect: float = 1.0


class InspectSession(Protocol):
    """A finished file, or a recording. Its methods may take long: they are called in one worker thread, never two at
    a time, and may raise MaevidError, whose line is shown in the place of the answer."""

    @property
    def name(self) -> str:
        """What is inspected, for the title."""

    @property
    def reports(self) -> Sequence[FrameReport]:
        """Every frame in presentation order; ``psnr`` is empty where no source was given."""

    @property
    def target_bitrate(self) -> float | None:
        """The target that the file was made for, in bits per second, where it is known."""

    @property
    def checkable(self) -> bool:
        """Whether :meth:`check` can tell anything."""

    def facts(self) -> Sequence[FactGroup]:
        """What is known of the file without going through its packets: stream, tags, weights."""

    def check(self, index: int) -> str:
        """Verify the packet of frame ``index``: what is wrong with it in a few words, empty when it is good."""

    def picture(self, index: int) -> FramePicture | None:
        """Frame ``index`` (position in ``reports``) at its full size or reduced; None when there are no pictures."""

    def block_bits(self, index: int) -> FloatArray | None:
        """Bits of each 16×16 luma block, shape (⌈height/16⌉, ⌈width/16⌉); None where the codec cannot tell."""

    def close(self) -> None:
        """Release files; called once, after the last other call."""
