"""What lies beside the video in an input: it goes along untouched, or one line says what stays behind."""

from __future__ import annotations

import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from round_trip import Trip, round_trip, scene, seen, write_scene
from test_passthrough import add_text
from video_clips import write_clip

from maevid.cli import main
from maevid.stream.reader import StreamReader
from maevid.stream.writer import StreamWriter

MILLISECOND = Fraction(1, 1000)


def payloads(path: Path, kind: str) -> dict[int, list[bytes]]:
    """The packets of every stream of a kind, by the stream's place among those."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found: dict[int, list[bytes]] = {place: [] for place in range(len(streams))}
        places = {stream.index: place for place, stream in enumerate(streams)}
        for packet in container.demux():
            if packet.size and packet.stream_index in places:
                found[places[packet.stream_index]].append(bytes(packet))
    return found


def write_with(path: Path, *, sounds: tuple[str, ...] = (), videos: int = 1, cover: bool = False) -> Path:
    """A clip with several streams; video ``n`` shows scenes from number 10·n on."""
    generator = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        pictures = []
        for _ in range(videos):
            stream = container.add_stream("libx264", rate=25, width=64, height=48)
            stream.pix_fmt = "yuv420p"
            pictures.append(stream)
        if cover:
            front = container.add_stream("mjpeg", rate=25, width=32, height=32)
            front.pix_fmt = "yuvj420p"
            front.disposition = Disposition.attached_pic
        tracks = []
        for number, codec in enumerate(sounds):
            track = container.add_stream(codec, rate=48000)
            track.codec_context.layout = "stereo" if number else "mono"
            track.metadata["language"] = ("swe", "eng", "nld")[number]
            tracks.append(track)
        container.start_encoding()
        if cover:
            container.mux(front.encode(scene(32, 32, 99, "yuvj420p", full=True)))
        for number in range(3):
            for place, stream in enumerate(pictures):
                picture = scene(64, 48, 10 * place + number, "yuv420p")
                picture.pts, picture.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(picture))
        for track in tracks:
            context = track.codec_context
            block = context.frame_size or 1024
            for start in range(0, 4800, block):
                noise = generator.normal(0, 0.1, (len(context.layout.channels), block)).astype(np.float32)
                resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=48000)
                frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout=context.layout.name)
                frame.sample_rate, frame.pts = 48000, start
                for converted in resampler.resample(frame):
                    container.mux(track.encode(converted))
            container.mux(track.encode(None))
        for stream in [*pictures, *([front] if cover else [])]:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("sounds", [("aac", "libopus"), ("flac", "aac", "ac3")], ids="+".join)
def test_every_sound_track_goes_along(sounds: tuple[str, ...], tmp_path: Path) -> None:
    trip = round_trip(write_with(tmp_path / "a.mkv", sounds=sounds))
    before = payloads(trip.source, "audio")
    assert len(before) == len(sounds)
    assert all(before.values())
    assert payloads(trip.coded, "audio") == payloads(trip.back, "audio") == before
    with av.open(str(trip.back)) as container:
        languages = [stream.language for stream in container.streams.audio]
    assert languages == ["swe", "eng", "nld"][: len(sounds)]
    assert trip.notes == []


def test_of_several_videos_one_is_coded_and_the_others_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_with(tmp_path / "a.mkv", videos=2)
    trip = round_trip(source)
    assert trip.notes[0].startswith("left out: video stream 1")
    assert trip.notes[1] == f"{source} has video streams 0, 1; 0 was taken"
    assert trip.psnr() > 33
    other = tmp_path / "other.mkv"
    assert main(["compress", str(source), str(other), "--stream", "1", "--quality", "80"]) == 0
    assert "left out: video stream 0" in capsys.readouterr().err
    assert main(["decompress", str(other), str(tmp_path / "back.mkv")]) == 0
    error = np.square(seen(tmp_path / "back.mkv")[0].astype(float) - seen(source, stream=1)[0]).mean()
    assert error < 30
    capsys.readouterr()
    assert main(["compress", str(source), str(other), "--stream", "7"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"maevid: stream 7 of {source} is not video; its video streams are: 0, 1"
    ]


def test_a_cover_stays_behind_and_is_named(tmp_path: Path) -> None:
    trip = round_trip(write_with(tmp_path / "a.mp4", cover=True, sounds=("aac",)))
    assert [note for note in trip.notes if "cover picture" in note]
    assert len(trip.times) == 3
    assert payloads(trip.back, "audio") == payloads(trip.source, "audio")


def test_a_data_track_stays_behind_and_is_named(tmp_path: Path) -> None:
    source = tmp_path / "a.ts"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=48)
        stream.pix_fmt = "yuv420p"
        data = container.add_data_stream("klv")
        container.start_encoding()
        for number in range(3):
            picture = scene(64, 48, number, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(picture))
            packet = av.Packet(b"measured %d" % number)
            packet.stream, packet.pts, packet.dts, packet.time_base = data, number, number, Fraction(1, 25)
            container.mux(packet)
        container.mux(stream.encode(None))
    trip = round_trip(source)
    assert [note for note in trip.notes if note.startswith("left out: data stream 1")]
    assert trip.psnr() > 33


@pytest.fixture
def rich(tmp_path: Path) -> Trip:
    """Subtitles, chapters and metadata at once, there and back."""
    plain = write_clip(tmp_path / "plain.mkv", frames=25)
    titled = tmp_path / "titled.mkv"
    lines = [(100, 300, b"Hej"), (400, 300, "då, världen".encode())]
    add_text(plain, titled, "subrip", lines)
    source = tmp_path / "a.mkv"
    with av.open(str(titled)) as before, av.open(str(source), "w") as container:
        copies = {stream.index: container.add_stream_from_template(stream) for stream in before.streams}
        container.metadata["title"] = "Ett prov"
        container.metadata["comment"] = "line one\nline two"
        container.set_chapters(
            [
                {"id": 1, "start": 0, "end": 480, "time_base": MILLISECOND, "metadata": {"title": "Början"}},
                {"id": 2, "start": 480, "end": 1000, "time_base": MILLISECOND, "metadata": {"title": "Slut"}},
            ]
        )
        for packet in before.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                container.mux(packet)
    return round_trip(source)


def test_subtitles_chapters_and_metadata_go_along(rich: Trip) -> None:
    assert rich.notes == []
    for path in (rich.coded, rich.back):
        assert payloads(path, "subtitle") == {0: [b"Hej", "då, världen".encode()]}
        with av.open(str(path)) as container:
            chapters = [
                (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"])
                for c in container.chapters()
            ]
            assert chapters == [(0.0, 0.48, "Början"), (0.48, 1.0, "Slut")]
            assert container.metadata["title"] == "Ett prov"
            assert container.metadata["COMMENT" if "COMMENT" in container.metadata else "comment"].startswith(
                "line"
            )


class Trap:
    """A named pipe: opening it for reading, by whatever library, lets ``snapped`` be set."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._met = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        os.close(os.open(self.path, os.O_WRONLY))
        self._met.set()

    def snapped(self) -> bool:
        """Whether the pipe was opened; the trap is then of no more use."""
        touched = self._met.wait(0.1)
        os.close(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK))
        self._thread.join()
        return touched


def test_a_path_in_the_tags_of_a_file_is_never_opened(tmp_path: Path) -> None:
    """Neither of an input nor of a maevid file that says it needs that codec or those weights."""
    proof = Trap(tmp_path / "proof")
    proof.path.read_bytes()
    assert proof.snapped()
    trap = Trap(tmp_path / "trap.safetensors")
    source, forged = tmp_path / "a.mkv", tmp_path / "forged.mkv"
    with av.open(str(write_scene(tmp_path / "plain.mkv"))) as before, av.open(str(source), "w") as container:
        copy = container.add_stream_from_template(before.streams.video[0])
        for key in ("comment", "filename", "WEIGHTS", "CODEC", "MODEL", "location"):
            container.metadata[key] = copy.metadata[key] = str(trap.path)
        for packet in before.demux():
            if packet.size:
                packet.stream = copy
                container.mux(packet)
    trip = round_trip(source)
    with StreamReader(trip.coded) as reader:
        packets, info = [coded.unwrap() for coded in reader], reader.info
    for codec, weights in ((str(trap.path), "00" * 32), ("mae", str(trap.path))):
        with StreamWriter(forged, info, codec=codec, model=packets[0].model, weights=weights) as writer:
            for packet in packets:
                writer.write(packet)
        for command in (["decompress", str(forged), str(tmp_path / "o.mkv")], ["info", str(forged)]):
            assert main(command) in (0, 1, 2)
        main(["verify", str(forged)])
    assert not trap.snapped()
