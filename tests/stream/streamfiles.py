"""Made packets, and maevid files of them, for the tests of the bitstream."""

from __future__ import annotations

import random
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
from hypothesis import HealthCheck, settings

from maevid.stream.packet import Packet
from maevid.stream.writer import StreamWriter
from maevid.video.frame import ColorTags, VideoInfo

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: a busy machine is slow, and that is no fault."""

MODEL = b"\x12\x34\xab\xcd"
WEIGHTS = MODEL.hex() + "00" * 28


def video_info(**changes: object) -> VideoInfo:
    """Facts of a plain clip, with ``changes``."""
    facts: dict[str, object] = {
        "width": 320,
        "height": 240,
        "time_base": Fraction(1, 12800),
        "average_rate": Fraction(25),
        "color": ColorTags(1, 1, 1, False),
        "codec": "h264",
    }
    return VideoInfo(**{**facts, **changes})  # type: ignore[arg-type]


def make_packets(
    count: int, *, size: int = 200, step: int = 512, start: int = 0, seed: int = 0, width: int = 320
) -> list[Packet]:
    """Packets of random payload, ``size`` bytes each, at every ``step`` units of time."""
    rng = random.Random(seed)
    return [
        Packet(
            MODEL,
            rng.randrange(256),
            width,
            240,
            start + step * number,
            step,
            (rng.randbytes(size // 4), rng.randbytes(size - size // 4)),
            latent_check=rng.getrandbits(32),
        )
        for number in range(count)
    ]


def write_file(path: Path, packets: Iterable[Packet], info: VideoInfo | None = None) -> Path:
    """A maevid file of ``packets`` and nothing else."""
    with StreamWriter(path, info or video_info(), codec="mae", model=MODEL, weights=WEIGHTS) as writer:
        for packet in packets:
            writer.write(packet)
    return path


def copy_with_audio(source: Path, path: Path, packets: list[Packet], info: VideoInfo | None = None) -> Path:
    """A maevid file of ``packets`` and of all but the video of ``source``, in its order."""
    waiting = list(packets)
    with (
        av.open(str(source)) as container,
        StreamWriter(
            path,
            info or video_info(),
            codec="mae",
            model=MODEL,
            weights=WEIGHTS,
            source=container,
            video_index=container.streams.video[0].index,
        ) as writer,
    ):
        for packet in container.demux():
            if packet.stream.type == "video":
                if waiting and packet.size:
                    writer.write(waiting.pop(0))
            else:
                writer.copy(packet)
        for left in waiting:
            writer.write(left)
    return path


def audio_payloads(path: Path) -> list[bytes]:
    """The bytes of every audio packet of a file, in order."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio) if packet.size]
