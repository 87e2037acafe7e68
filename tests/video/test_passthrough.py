"""Subtitles, attachments, covers and data: what can go along does, the rest is named."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from maevid.video.passthrough import MUXER_OPTIONS, PassThrough, copy_chapters_and_metadata
from maevid.video.rates import as_fraction, rescale
from maevid.video.reader import VideoReader
from maevid.video.subtitles import subrip_text
from maevid.video.writer import VideoWriter

ClipMaker = Callable[..., Path]


def add_text(path: Path, output: Path, codec: str, lines: list[tuple[int, int, bytes]]) -> Path:
    """Copy a clip and give it a text track; lines are (start, duration, payload) in milliseconds."""
    with av.open(str(path)) as source, av.open(str(output), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        text = container.add_mux_stream(codec)
        text.metadata["language"] = "swe"
        text.disposition = Disposition.forced
        container.start_encoding()
        for start, duration, payload in lines:
            packet = av.Packet(payload)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = start
            packet.duration = duration
            container.mux(packet)
        for packet in source.demux():
            if packet.size:
                packet.stream = video
                container.mux(packet)
    return output


def pass_through(source_path: Path, output_path: Path) -> list[str]:
    """Copy everything but the video; returns what was skipped."""
    with (
        av.open(str(source_path)) as source,
        av.open(str(output_path), "w", container_options=MUXER_OPTIONS) as output,
    ):
        copier = PassThrough(source, source.streams.video[0].index, output)
        copy_chapters_and_metadata(source, output)
        for packet in source.demux():
            if copier.wants(packet):
                copier.mux(packet)
        return copier.skipped


def packets_of(path: Path) -> list[tuple[int, int, bytes]]:
    with av.open(str(path)) as container:
        return [
            (
                round(packet.pts * packet.time_base * 1000),
                round(packet.duration * packet.time_base * 1000),
                bytes(packet),
            )
            for packet in container.demux()
            if packet.size
        ]


def test_subtitles_keep_bytes_times_language_and_disposition(clip: ClipMaker, tmp_path: Path) -> None:
    """Two lines at one moment included, which Matroska allows."""
    lines = [(0, 40, b"Hej"), (80, 100, "Smörgås".encode()), (80, 50, b"<i>Two</i>")]
    source = add_text(clip("a.mkv"), tmp_path / "in.mkv", "subrip", lines)
    assert pass_through(source, tmp_path / "out.mkv") == []
    assert packets_of(tmp_path / "out.mkv") == lines
    with av.open(str(tmp_path / "out.mkv")) as container:
        (stream,) = container.streams
        assert stream.language == "swe"
        assert stream.disposition == Disposition.forced


def test_mp4_text_becomes_subrip(clip: ClipMaker, tmp_path: Path) -> None:
    text = "Räka".encode()
    lines = [
        (0, 80, len(text).to_bytes(2, "big") + text),
        (80, 40, b"\0\0"),
        (120, 80, b"\0\1B" + b"\0\0\0\x08styl"),
    ]
    source = add_text(clip("a.mp4", encoder="libx264"), tmp_path / "in.mp4", "mov_text", lines)
    assert pass_through(source, tmp_path / "out.mkv") == []
    assert packets_of(tmp_path / "out.mkv") == [(0, 80, text), (120, 80, b"B")]
    assert pass_through(source, tmp_path / "out.mp4") == []
    assert lines[0][2] in [payload for _, _, payload in packets_of(tmp_path / "out.mp4")]


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        (b"", ""),
        (b"\0\0", ""),
        (b"\0\2Hi", "Hi"),
        (b"\0\2Hi\0\0\0\x08styl", "Hi"),
        (b"\0\6\xfe\xff\0H\0i", "Hi"),
    ],
)
def test_mp4_text_samples(sample: bytes, text: str) -> None:
    assert subrip_text(sample).decode() == text


def test_attachments_go_along_where_there_is_a_place(clip: ClipMaker, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(clip("a.mkv"))) as plain, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(plain.streams.video[0])
        container.add_attachment("font.ttf", "font/ttf", b"not really a font")
        for packet in plain.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with (
        VideoReader(source) as reader,
        VideoWriter(tmp_path / "out.mkv", reader.info, source=reader.container) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert writer.warnings == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        (attachment,) = container.streams.attachments
        assert (attachment.name, attachment.mimetype) == ("font.ttf", "font/ttf")
        assert attachment.data == b"not really a font"
    with av.open(str(source)) as opened, av.open(str(tmp_path / "out.mp4"), "w") as output:
        assert PassThrough(opened, 0, output).skipped == [
            "attachment stream 1 [font.ttf] (mp4 takes no attachments)"
        ]


def test_what_stays_behind_is_named(clip: ClipMaker, tmp_path: Path) -> None:
    source = clip("a.mkv", videos=2, audio="pcm_s16le")
    with av.open(str(source)) as opened, av.open(str(tmp_path / "out.webm"), "w") as output:
        skipped = PassThrough(opened, 0, output).skipped
    assert skipped == [
        "video stream 1 [ffv1] (only one video stream is coded)",
        "audio stream 2 [pcm_s16le, swe] (webm cannot hold this codec)",
    ]


def test_packets_without_times_and_running_backwards_are_placed(clip: ClipMaker, tmp_path: Path) -> None:
    source = clip("a.mkv", audio="pcm_s16le")
    with (
        av.open(str(source)) as opened,
        av.open(str(tmp_path / "out.mkv"), "w", container_options=MUXER_OPTIONS) as output,
    ):
        copier = PassThrough(opened, 0, output)
        payloads = []
        for number, packet in enumerate(opened.demux(audio=0)):
            if not copier.wants(packet):
                continue
            payloads.append(bytes(packet))
            if number in (0, 3, 4):
                packet.pts = packet.dts = None
            elif number == 6:
                packet.pts = packet.dts = 1
            copier.mux(packet)
    found = packets_of(tmp_path / "out.mkv")
    assert [payload for _, _, payload in found] == payloads
    times = [time for time, _, _ in found]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[4] == pytest.approx(4 * 1024 / 48, abs=2)


def test_rates_of_pyav_in_both_styles() -> None:
    assert as_fraction(None) is None
    assert as_fraction(Fraction(30_000, 1001)) == Fraction(30_000, 1001)
    assert as_fraction(av.AVRational(30_000, 1001)) == Fraction(30_000, 1001)
    assert as_fraction(av.AVRational(0, 1)) is None
    assert as_fraction(av.AVRational(1, 0)) is None


def test_rescaling_rounds_as_ffmpeg_does() -> None:
    generator = np.random.default_rng(0)
    for value in generator.integers(-(10**9), 10**9, 300):
        packet = av.Packet()
        packet.pts = packet.dts = int(value)
        packet.time_base = Fraction(1001, 60_000)
        packet.rescale_ts(av.AVRational(1, 1000))
        assert rescale(int(value), Fraction(1001, 60_000), Fraction(1, 1000)) == packet.pts
    assert [rescale(value, Fraction(1, 2), Fraction(1)) for value in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
