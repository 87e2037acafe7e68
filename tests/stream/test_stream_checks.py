"""Verification and facts of a file, on files that are whole, damaged, mixed and cut."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from streamfiles import MODEL, WEIGHTS, copy_with_audio, make_packets, video_info, write_file

from maevid.codec.interface import Encoded, FrameCodec
from maevid.errors import DamagedError, ModelError
from maevid.stream.info import OtherTrack, read_facts
from maevid.stream.packet import Packet
from maevid.stream.reader import StreamReader
from maevid.stream.verify import verify
from maevid.video.frame import ColorTags, Frame, Plane


class Sums(FrameCodec):
    """A codec whose latent check is the sum of the packet's bytes; it decodes to gray."""

    name = "sums"
    identity = MODEL
    rate_indices = range(256)

    def lam(self, rate_index: int) -> float:
        return float(rate_index + 1)

    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        raise NotImplementedError

    def decode(self, packet: Packet) -> tuple[Plane, Plane, Plane]:
        gray = np.zeros((2, 2), np.uint8)
        return gray, gray, gray

    def check(self, packet: Packet) -> None:
        if packet.rate_index == 255:
            raise ModelError("other weights")
        if sum(map(sum, packet.parts)) != packet.latent_check:
            raise DamagedError("latent check differs")


def summed(packets: list[Packet]) -> list[Packet]:
    """``packets`` with the latent check that :class:`Sums` expects."""
    return [replace(p, rate_index=7, latent_check=sum(map(sum, p.parts))) for p in packets]


def problems(path: Path, codec: FrameCodec | None = None) -> dict[int, str]:
    with StreamReader(path) as reader:
        checks = list(verify(reader, codec))
        assert [check.index for check in checks] == list(range(len(reader)))
        assert [check.pts for check in checks] == [reader.pts(i) for i in range(len(reader))]
        return {check.index: check.problem for check in checks if check.problem is not None}


def test_a_whole_file_has_no_problem(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", summed(make_packets(10)))
    assert problems(path) == {}
    assert problems(path, Sums()) == {}


def test_a_wrong_latent_is_told_by_the_codec_alone(tmp_path: Path) -> None:
    packets = summed(make_packets(10))
    packets[4] = replace(packets[4], latent_check=packets[4].latent_check ^ 1)
    path = write_file(tmp_path / "a.mkv", packets)
    assert problems(path) == {}
    assert problems(path, Sums()) == {4: "frame 4: latent check differs"}


def test_missing_weights_are_no_fault_of_the_file(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", [replace(make_packets(1)[0], rate_index=255)])
    with pytest.raises(ModelError, match="other weights"):
        problems(path, Sums())


def test_damage_size_and_order_are_told(tmp_path: Path) -> None:
    packets = make_packets(8)
    packets[3] = replace(packets[3], width=16)
    packets[6] = replace(packets[6], pts=packets[5].pts)
    path = write_file(tmp_path / "a.mkv", packets)
    with StreamReader(path) as reader:
        at = reader.coded(1).offset + 100
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    found = problems(path)
    assert sorted(found) == [1, 3, 6]
    assert "check value" in found[1]
    assert found[3] == "frame 3 has 16x240 samples, the file has 320x240"
    assert found[6] == f"frame 6 has pts {5 * 512}, which is not after {5 * 512}"


def test_packets_of_another_model_are_told(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", make_packets(4))
    other = replace(make_packets(4)[2], model=b"\0\0\0\1")
    with StreamReader(path) as reader:
        coded = reader.coded(2)
    data = path.read_bytes()
    path.write_bytes(data[: coded.offset] + other.to_bytes() + data[coded.offset + coded.size :])
    assert problems(path) == {2: f"frame 2 is of model 00000001, the file's is {MODEL.hex()}"}


def test_facts_of_a_file(tmp_path: Path, source_clip: Path) -> None:
    info = video_info(rotation=90, sample_aspect_ratio=Fraction(4, 3), color=ColorTags(9, 9, 16, True))
    packets = [replace(packet, rate_index=10 + number % 2) for number, packet in enumerate(make_packets(50))]
    path = copy_with_audio(source_clip, tmp_path / "a.mkv", packets, info)
    facts = read_facts(path)
    total = sum(len(packet.to_bytes()) for packet in packets)
    assert facts.frames == 50
    assert (facts.duration, facts.frame_rate, facts.time_base, facts.start) == (2.0, "25", "1/12800", 0.0)
    assert (facts.video_bytes, facts.bit_rate) == (total, total * 4)
    assert facts.bits_per_pixel == pytest.approx(8 * total / (50 * 320 * 240))
    assert facts.largest_packet == max(len(packet.to_bytes()) for packet in packets)
    assert facts.file_bytes == path.stat().st_size
    assert facts.rate_indices == {10: 25, 11: 25}
    assert (facts.codec, facts.model, facts.weights) == ("mae", MODEL.hex(), WEIGHTS)
    assert (facts.source_codec, facts.pixel_format, facts.color) == ("h264", "yuv420p", info.color)
    assert (facts.rotation, facts.sample_aspect_ratio, facts.interlaced) == (90, "4/3", False)
    assert [(track.kind, track.language) for track in facts.tracks] == [("audio", "deu"), ("subtitle", "fra")]
    assert facts.tracks[0] == OtherTrack("audio", "aac", "deu", "", 48000, 2)
    assert [(c.start, c.end, c.title) for c in facts.chapters] == [(0.0, 1.0, "One"), (1.0, 2.0, "Two")]
    assert facts.metadata["title"] == "A made clip"
    assert (facts.truncated, facts.damaged, facts.joined) == (False, 0, 1)
    told = json.loads(facts.to_json())
    assert told["color"] == {"matrix": 9, "primaries": 9, "transfer": 16, "full_range": True}
    assert told["rate_indices"] == {"10": 25, "11": 25}


def test_facts_of_tracks_that_say_little_about_themselves(tmp_path: Path) -> None:
    """A sound track without language, an attachment known by its file name, a title beyond ASCII."""
    source = tmp_path / "source.mkv"
    with av.open(str(source), "w") as container:
        container.metadata["title"] = "Ünïcode"
        video = container.add_stream("mpeg4", rate=25, width=16, height=16)
        sound = container.add_stream("pcm_s16le", rate=8000)
        sound.codec_context.layout = "mono"
        sound.metadata["title"] = "Commentary"
        container.add_attachment("font.ttf", "application/x-truetype-font", b"not really")
        picture = av.VideoFrame(16, 16, "yuv420p")
        container.mux(video.encode(picture))
        noise = av.AudioFrame(format="s16", layout="mono", samples=80)
        noise.sample_rate = 8000
        container.mux(sound.encode(noise))
        container.mux(video.encode(None))
    info = video_info(average_rate=None)
    facts = read_facts(copy_with_audio(source, tmp_path / "a.mkv", make_packets(2), info))
    assert facts.frame_rate is None
    assert facts.tracks == (
        OtherTrack("audio", "pcm_s16le", "", "Commentary", 8000, 1),
        OtherTrack("attachment", "", "", "font.ttf", 0, 0),
    )
    assert '"title": "Ünïcode"' in facts.to_json()


def test_facts_of_a_damaged_and_cut_file(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.mkv", make_packets(10))
    with StreamReader(path) as reader:
        third, last = reader.coded(3).offset, reader.coded(8).offset + 10
    data = bytearray(path.read_bytes()[:last])
    data[third] ^= 1
    path.write_bytes(data)
    facts = read_facts(path)
    assert (facts.frames, facts.truncated, facts.damaged) == (8, True, 1)
    assert sum(facts.rate_indices.values()) == 7


def test_a_picture_of_unknown_duration_lasts_as_long_as_the_others(tmp_path: Path) -> None:
    packets = [replace(packet, duration=0) for packet in make_packets(25)]
    facts = read_facts(write_file(tmp_path / "a.mkv", packets))
    assert facts.duration == 1.0
    one = read_facts(write_file(tmp_path / "b.mkv", packets[:1]))
    assert (one.duration, one.bit_rate) == (0.0, None)


def test_facts_of_a_file_that_ffmpeg_cannot_open(tmp_path: Path, source_clip: Path) -> None:
    """maevid's own walk needs less of a file than libavformat does."""
    path = copy_with_audio(source_clip, tmp_path / "a.mkv", make_packets(50))
    data = path.read_bytes()
    at = data.index(b"\x42\xf7\x81\x01")
    path.write_bytes(data[:at] + b"\x42\xf7\x81\x63" + data[at + 4 :])
    facts = read_facts(path)
    assert facts.frames == 50
    with StreamReader(path) as reader:
        assert len(list(reader.packets(lambda packet: None))) == 50
        assert len(reader.warnings) == 1
        assert "sound and subtitles" in reader.warnings[0]
        with pytest.raises(DamagedError, match="cannot be opened by FFmpeg"):
            _ = reader.container
    assert [(track.kind, track.codec) for track in facts.tracks] == [
        ("audio", "A_AAC"),
        ("subtitle", "S_TEXT/UTF8"),
    ]


def test_a_file_without_what_follows_its_last_packet_is_whole(tmp_path: Path) -> None:
    """Cues are for other tools: no picture and no fact hangs on them."""
    path = write_file(tmp_path / "a.mkv", make_packets(20))
    whole = read_facts(path)
    with StreamReader(path) as reader:
        end = reader.coded(19).offset + reader.coded(19).size
    assert end < path.stat().st_size
    os.truncate(path, end)
    assert read_facts(path) == replace(whole, file_bytes=end)
