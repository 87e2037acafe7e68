"""Who does the work of a compression: this process alone, or the workers of a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import open_codec
from maevid.errors import UsageError
from maevid.pipeline.events import Listener
from maevid.rate import RateController, RateRequest, Trials
from maevid.video.frame import Frame

if TYPE_CHECKING:
    import av

FrameEvents = Iterable["Frame | av.Packet[Any]"]
"""Frames and packets of other streams, in the order in which the file has them."""


_ADDRESS = re.compile(r"((tcp|tls|ws|wss)://)?[^/\s]+:\d+")


class Team:
    """This process, with one codec; to be closed.

    ``codec`` is asked for every frame, ``arithmetic`` says where and in which precision that is computed. Before each
    pass the team is shown its frames, so that one with workers can send them ahead of their turn; whatever it does, the
    same frames come out in the same order.
    """

    def __init__(self, codec: FrameCodec) -> None:
        self.codec = codec
        self.arithmetic = codec.description

    def analysing(self, events: FrameEvents, trials: Trials, *, curve: bool) -> FrameEvents:
        """The events of the first pass, which tries frames as ``trials`` says; ``curve``: by coding them."""
        return events

    def coding(
        self, events: FrameEvents, controller: RateController, *, measure: bool, planned: int | None
    ) -> FrameEvents:
        """The events of the encode. ``planned`` is how many frames the controller knows of, None: any number."""
        return events

    def close(self) -> None:
        """Let go of whoever helped."""


def open_team(codec: str, options: CodecOptions, cluster: str | None, publish: Listener) -> Team:
    """The team for a job; ``cluster`` is ``local``, the address of a Dask scheduler, or None for this process alone.

    Raises what :func:`~maevid.codec.registry.open_codec` raises and, for a cluster, UsageError where it cannot be used
    and MaevidError where it does not answer, has no workers, or workers that would make another file.
    """
    opened = open_codec(codec, options)
    if cluster is None:
        return Team(opened)
    from maevid.cluster.team import ClusterTeam

    return ClusterTeam(opened, options, cluster, publish)


def refuse_on_cluster(cluster: str, request: RateRequest) -> None:
    """Raise UsageError for what is no address, and for what a cluster cannot help with: where each frame waits for what
    the one before it came to."""
    if cluster != "local" and not _ADDRESS.fullmatch(cluster):
        raise UsageError(
            f"--cluster is local or the address of a Dask scheduler, tcp://HOST:8786, not {cluster}"
        )
    if request.mode == "frame-bytes":
        raise UsageError(
            "--frame-bytes searches frame by frame, from what the last one had: leave out --cluster"
        )
    if request.mode == "bitrate" and not request.two_pass:
        raise UsageError(
            "one pass steers by every packet it has written: leave out --cluster, or give it two passes"
        )
