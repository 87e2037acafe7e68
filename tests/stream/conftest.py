"""Made packets, made source clips, and maevid files of them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from maevid.stream.packet import Packet
from maevid.stream.writer import StreamWriter
from maevid.video.frame import ColorTags, VideoInfo

MODEL = b"\x12\x34\xab\xcd"
WEIGHTS = "12 34 ab cd".replace(" ", "") + "00" * 28


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


def write_file(path: Path, packets: list[Packet], info: VideoInfo | None = None) -> Path:
    """A maevid file of ``packets`` and nothing else."""
    with StreamWriter(path, info or video_info(), codec="mae", model=MODEL, weights=WEIGHTS) as writer:
        for packet in packets:
            writer.write(packet)
    return path


def copy_with_audio(source: Path, path: Path, packets: list[Packet], info: VideoInfo | None = None) -> Path:
    """A maevid file of ``packets`` and of everything but the video of ``source``, in the order of the source."""
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


@pytest.fixture(scope="session")
def source_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 25 pictures a second with AAC sound, subtitles, chapters and a title, as MP4-like Matroska."""
    path = tmp_path_factory.mktemp("source") / "source.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A made clip"
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=48000)
        audio.metadata["language"] = "deu"
        text = container.add_mux_stream("subrip")
        text.metadata["language"] = "fra"
        container.set_chapters(
            [
                {"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                {"id": 2, "start": 1000, "end": 2000, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
            ]
        )
        container.start_encoding()
        line = av.Packet(b"Hello")
        line.stream, line.time_base = text, Fraction(1, 1000)
        line.pts = line.dts = 500
        line.duration = 700
        samples = rng.integers(-3000, 3000, (1, 2 * 96000), dtype=np.int16)
        sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        for number in range(50):
            picture = av.VideoFrame.from_ndarray(rng.integers(0, 255, (72, 64), dtype=np.uint8), format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(line)
        container.mux(audio.encode(sound))
        container.mux(video.encode())
        container.mux(audio.encode())
    return path


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Finds a command line tool, or skips the test and says which one is missing."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find
