"""maevid files in the hands of the tools that people have: ffprobe, ffmpeg, mkvmerge, mkvextract."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from streamfiles import audio_payloads, copy_with_audio, make_packets, video_info, write_file

from maevid.stream.packet import Packet
from maevid.stream.reader import StreamReader
from maevid.video.frame import ColorTags

Tool = Callable[[str], str]


def run(*command: object) -> str:
    """Run a tool; mkvmerge's exit code 1 (it has a warning) is a failure too."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def clip(tmp_path: Path, source_clip: Path) -> tuple[Path, list[Packet]]:
    """A maevid file with sound, a subtitle and chapters."""
    packets = make_packets(50, size=6000)
    return copy_with_audio(source_clip, tmp_path / "clip.mkv", packets), packets


def test_ffprobe_shows_it(tmp_path: Path, tool: Tool) -> None:
    info = video_info(rotation=90, sample_aspect_ratio=Fraction(2), color=ColorTags(1, 1, 1, True))
    path = write_file(tmp_path / "a.mkv", make_packets(50), info)
    command = (tool("ffprobe"), "-v", "error", "-of", "json", "-show_streams", "-show_packets", path)
    told = json.loads(run(*command))
    (stream,) = told["streams"]
    expected = {
        "codec_type": "video",
        "codec_tag_string": "MAEV",
        "width": 320,
        "height": 240,
        "sample_aspect_ratio": "2:1",
        "avg_frame_rate": "25/1",
        "color_range": "pc",
        "color_space": "bt709",
    }
    assert {key: stream[key] for key in expected} == expected
    assert stream["side_data_list"][0]["rotation"] == -90
    assert [packet["pts_time"] for packet in told["packets"]][:3] == ["0.000000", "0.040000", "0.080000"]
    assert all(packet["flags"].startswith("K") for packet in told["packets"])


def test_mkvmerge_shows_it(clip: tuple[Path, list[Packet]], tool: Tool) -> None:
    told = json.loads(run(tool("mkvmerge"), "-J", clip[0]))
    video, audio, subtitle = told["tracks"]
    assert not told["errors"]
    assert not told["warnings"]
    assert video["properties"]["codec_id"] == "V_MAEVID/INTRA"
    assert video["properties"]["pixel_dimensions"] == video["properties"]["display_dimensions"] == "320x240"
    assert (audio["codec"], audio["properties"]["language"]) == ("AAC", "ger")
    assert subtitle["type"] == "subtitles"


def test_mkvmerge_remux_keeps_every_packet(
    clip: tuple[Path, list[Packet]], tool: Tool, tmp_path: Path
) -> None:
    run(tool("mkvmerge"), "-o", tmp_path / "x.mkv", clip[0])
    with StreamReader(tmp_path / "x.mkv") as reader, StreamReader(clip[0]) as original:
        assert [coded.unwrap() for coded in reader] == clip[1]
        assert [coded.pts for coded in reader] == [packet.pts for packet in clip[1]]
        assert reader.info == original.info
        assert reader.described == original.described
        assert not reader.truncated
    assert audio_payloads(tmp_path / "x.mkv") == audio_payloads(clip[0])


def test_ffmpeg_remux_keeps_every_packet(clip: tuple[Path, list[Packet]], tool: Tool, tmp_path: Path) -> None:
    """Twice, since the first remux turns the codec ID into a FourCC."""
    once, twice = tmp_path / "x.mkv", tmp_path / "y.mkv"
    for source, target in ((clip[0], once), (once, twice)):
        run(tool("ffmpeg"), "-v", "error", "-i", source, "-map", "0", "-c", "copy", "-copy_unknown", target)
        with StreamReader(target) as reader, StreamReader(clip[0]) as original:
            assert [coded.unwrap() for coded in reader] == clip[1]
            assert [coded.pts for coded in reader] == [packet.pts for packet in clip[1]]
            assert reader.info == original.info
            assert reader.described == original.described
        assert audio_payloads(target) == audio_payloads(clip[0])


@pytest.mark.parametrize("at", [1, 2, 7, 25, 48, 49])
def test_mkvmerge_cuts_at_any_frame_and_joins_again(tmp_path: Path, tool: Tool, at: int) -> None:
    mkvmerge, packets = tool("mkvmerge"), make_packets(50)
    path = write_file(tmp_path / "a.mkv", packets)
    # mkvmerge counts frames from 1 and cuts before the one that is named.
    run(mkvmerge, "-o", tmp_path / "part.mkv", "--split", f"frames:{at + 1}", path)
    first, second = sorted(tmp_path.glob("part-*.mkv"))
    with StreamReader(first) as reader:
        assert [coded.unwrap() for coded in reader] == packets[:at]
        assert [coded.pts for coded in reader] == [512 * number for number in range(at)]
    with StreamReader(second) as reader:
        assert [coded.unwrap() for coded in reader] == packets[at:]
        assert [coded.pts for coded in reader] == [512 * number for number in range(len(reader))]
    run(mkvmerge, "-o", tmp_path / "joined.mkv", first, "+", second)
    with StreamReader(tmp_path / "joined.mkv") as reader:
        assert [coded.unwrap() for coded in reader] == packets
        assert [coded.pts for coded in reader] == [packet.pts for packet in packets]
        assert (reader.runs, reader.truncated) == (1, False)


@pytest.mark.parametrize("at", [7, 25])
def test_a_cut_keeps_sound_and_pictures_together(
    clip: tuple[Path, list[Packet]], tool: Tool, tmp_path: Path, at: int
) -> None:
    """mkvmerge moves sound and pictures of the second part by one amount; so must the reader."""
    run(tool("mkvmerge"), "-o", tmp_path / "part.mkv", "--split", f"timestamps:{at * 0.04}s", clip[0])
    with StreamReader(tmp_path / "part-002.mkv") as reader, StreamReader(clip[0]) as whole:
        sound: dict[bytes, Fraction] = {}
        part_sound: dict[bytes, Fraction] = {}
        list(whole.packets(lambda p: sound.setdefault(bytes(p), p.pts * p.time_base)))
        list(reader.packets(lambda p: part_sound.setdefault(bytes(p), p.pts * p.time_base)))
        pictures = [coded.unwrap() for coded in reader]
        assert pictures == clip[1][-len(pictures) :]
        moved = (pictures[0].pts - reader.pts(0)) * reader.info.time_base
        assert moved == pytest.approx(at * 0.04, abs=0.05)
        assert len(part_sound) > 20
        for payload, time in part_sound.items():
            assert sound[payload] - time == pytest.approx(moved, abs=0.0021)


def test_two_files_join_into_one(tmp_path: Path, tool: Tool) -> None:
    first, second = make_packets(20), make_packets(30, seed=1)
    one, two = write_file(tmp_path / "1.mkv", first), write_file(tmp_path / "2.mkv", second)
    run(tool("mkvmerge"), "-o", tmp_path / "joined.mkv", one, "+", two)
    with StreamReader(tmp_path / "joined.mkv") as reader:
        assert [coded.unwrap() for coded in reader] == first + second
        assert [coded.pts for coded in reader] == [512 * number for number in range(50)]
        assert reader.runs == 2
        assert reader.info.duration == 2.0


def test_mkvextract_gives_the_bare_packets(
    clip: tuple[Path, list[Packet]], tool: Tool, tmp_path: Path
) -> None:
    """Timestamps at least; mkvextract has no raw form for a codec that it does not know."""
    run(tool("mkvextract"), clip[0], "timestamps_v2", f"0:{tmp_path / 'times.txt'}")
    times = (tmp_path / "times.txt").read_text().split()[4:]
    shift = StreamReader(clip[0]).shift
    assert [float(time) for time in times[:50]] == [40.0 * number + shift for number in range(50)]


def test_a_track_that_the_container_compresses_is_told(tmp_path: Path, tool: Tool) -> None:
    from maevid.errors import InputError

    path = write_file(tmp_path / "a.mkv", make_packets(3))
    run(tool("mkvmerge"), "-o", tmp_path / "x.mkv", "--compression", "0:zlib", path)
    with pytest.raises(InputError, match="mkvmerge --compression -1:none"):
        StreamReader(tmp_path / "x.mkv")
    run(tool("mkvmerge"), "-o", tmp_path / "y.mkv", "--compression", "-1:none", tmp_path / "x.mkv")
    assert len(StreamReader(tmp_path / "y.mkv")) == 3
