"""Interrupted encodes go on from their last whole packet, and nobody can tell from the file."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from maevid.atomic import temporary_path
from maevid.codec.interface import CodecOptions
from maevid.codec.registry import open_codec
from maevid.errors import MaevidError, OutputError, UsageError
from maevid.pipeline.compress import CompressOptions, compress, ignore
from maevid.pipeline.events import Aborted, Control, Event, Note, Phase, PhaseChanged, Progress
from maevid.pipeline.journal import Journal, journal_path
from maevid.pipeline.resume import KeptWork
from maevid.rate import FirstPass, FrameCost, RateRequest, parse_zone
from maevid.report import FrameReport
from maevid.report_io import read_recording

FRAMES = 20
MODES = {
    "quality": {"quality": 60},
    "two passes": {"bitrate": 250_000},
    "one pass": {"bitrate": 250_000, "passes": 1},
    "peak": {"bitrate": 250_000, "maxrate": 260_000, "bufsize": 30_000},
    "frame limit": {"frame_bytes": 900},
    "psnr": {"psnr": 36.0},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of 64×48 that get harder, with sound."""
    path = tmp_path_factory.mktemp("resume") / "clip.mkv"
    generator = np.random.default_rng(8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=64, height=48)
        sound = container.add_stream("pcm_s16le", rate=8000)
        container.start_encoding()
        for number in range(FRAMES):
            rows, columns = np.mgrid[:72, :64]
            data = (
                120
                + 80 * np.sin((rows + 3 * number) / 9)
                + generator.normal(0, 1 + number, (72, 64))
                + columns / 4
            )
            picture = av.VideoFrame.from_ndarray(data.clip(0, 255).astype(np.uint8), format="yuv420p")
            picture.pts = number
            container.mux(stream.encode(picture))
        noise = av.AudioFrame.from_ndarray(generator.integers(-999, 999, (1, 6400), np.int16), "s16", "mono")
        noise.sample_rate, noise.pts = 8000, 0
        container.mux(sound.encode(noise))
        container.mux(stream.encode(None))
    return path


def job(clip: Path, out: Path, *, resume: bool = False, **request: object) -> CompressOptions:
    return CompressOptions(
        str(clip),
        str(out),
        RateRequest(**request),
        codec_options=CodecOptions(device="cpu"),
        measure="psnr" in request,
        resume=resume,
    )


class Watcher:
    """A listener that interrupts the job, as Ctrl-C does, after the report of frame ``stop``."""

    def __init__(self, stop: int = FRAMES, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.stop, self.error = stop, error
        self.notes: list[str] = []
        self.phases: list[Phase] = []
        self.reports: list[FrameReport] = []

    def __call__(self, event: Event) -> None:
        match event:
            case Note():
                self.notes.append(event.text)
            case PhaseChanged():
                self.phases.append(event.phase)
            case FrameReport():
                self.reports.append(event)
                if event.index == self.stop:
                    raise self.error

    @property
    def coded(self) -> int:
        """Frames that were coded, not looked up."""
        return sum("analysis" in report.stage_seconds for report in self.reports)


def interrupt(options: CompressOptions, stop: int) -> None:
    with pytest.raises(KeyboardInterrupt, match="frames are kept: the same command with --resume"):
        compress(options, Watcher(stop))


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_encode_equals_an_uninterrupted_one(mode: str, clip: Path, tmp_path: Path) -> None:
    """Interrupted twice, in every mode of rate control; without the journal's frames it would code all again."""
    whole, out = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    uninterrupted = Watcher()
    compress(job(clip, whole, **MODES[mode]), uninterrupted)
    interrupt(job(clip, out, **MODES[mode]), 5)
    assert sorted(os.listdir(tmp_path)) == [".out.mkv.journal", "whole.mkv"]
    interrupt(job(clip, out, resume=True, **MODES[mode]), 13)
    last = Watcher()
    compress(job(clip, out, resume=True, **MODES[mode]), last)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["out.mkv", "whole.mkv"]
    # Batches of up to eight frames are coded before their reports come.
    assert last.coded <= FRAMES - 14
    assert Phase.ANALYSIS not in last.phases
    assert [r.index for r in last.reports] == list(range(FRAMES))
    assert [(r.bits, r.rate_index, r.psnr) for r in last.reports] == [
        (r.bits, r.rate_index, r.psnr) for r in uninterrupted.reports
    ]


def test_a_journal_cut_or_damaged_anywhere_is_good_up_to_there(clip: Path, tmp_path: Path) -> None:
    """What a power failure leaves: the end is missing, or holds zeros."""
    whole, out = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    compress(job(clip, whole, quality=60))
    interrupt(job(clip, out, quality=60), 15)
    kept = journal_path(out)
    data = kept.read_bytes()
    coded = []
    for end in (0, 9, 100, len(data) // 3, len(data) // 2, len(data) - 1):
        for torn in (data[:end], data[:end] + bytes(len(data) - end)):
            kept.write_bytes(torn)
            watcher = Watcher()
            compress(job(clip, out, resume=True, quality=60), watcher)
            assert out.read_bytes() == whole.read_bytes(), end
            assert not kept.exists()
            out.unlink()
            coded.append(watcher.coded)
    assert coded[:6] == [FRAMES] * 6
    assert coded[6:] == sorted(coded[6:], reverse=True)
    assert coded[-1] <= FRAMES - 8


def test_two_passes_keep_the_first(clip: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out.mkv", tmp_path / "statistics.jsonl"
    interrupt(job(clip, out, bitrate=250_000), 0)
    compress(replace(job(clip, out, resume=True, bitrate=250_000), statistics_out=kept), watcher := Watcher())
    assert Phase.ANALYSIS not in watcher.phases
    assert len(read_recording(kept).reports) == FRAMES


def test_keeping_the_first_pass_of_a_long_clip_takes_little_memory(clip: Path, tmp_path: Path) -> None:
    """They are written down one at a time: all at once they would take over four megabytes."""
    found = FirstPass(last_duration=0.04)
    for number in range(40_000):
        found.seconds.append(number / 25)
        if number % 8 == 0:
            found.costs.append(FrameCost(number, {index: 40.0 * index + number for index in (80, 96)}))
    options = job(clip, tmp_path / "out.mkv", bitrate=250_000)
    codec = open_codec(options.codec, options.codec_options)
    tracemalloc.start()
    try:
        with KeptWork(options, codec, codec.description, ignore) as kept:
            assert kept.first_pass(Control(), lambda: found) is found
            written = journal_path(options.output).stat().st_size
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written > 600_000
    assert most < 2_000_000


def test_a_first_pass_of_which_a_part_was_kept_is_made_anew(clip: Path, tmp_path: Path) -> None:
    """Killed while it was written down, then interrupted: the part does not mix with the whole one behind it."""
    whole, out = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    options = job(clip, out, bitrate=250_000)
    compress(replace(options, output=str(whole)))
    interrupt(options, 0)
    kept = journal_path(out)
    data = kept.read_bytes()
    kept.write_bytes(data[: data.index(b'"piece":"cost"') + 40])
    interrupt(replace(options, resume=True), 3)
    compress(replace(options, resume=True), watcher := Watcher())
    assert Phase.ANALYSIS not in watcher.phases
    assert out.read_bytes() == whole.read_bytes()


def test_what_a_killed_process_left_of_the_statistics_goes(clip: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out.mkv", tmp_path / "clip.stats"
    options = replace(job(clip, out, quality=60), statistics_out=kept)
    interrupt(options, 15)
    assert sorted(os.listdir(tmp_path)) == [".out.mkv.journal"]
    journal = Journal.open(journal_path(out))
    assert journal is not None
    token = next(journal.records()).values["token"]
    journal.close()
    temporary_path(kept, token).write_text("half")
    compress(replace(options, resume=True))
    assert sorted(os.listdir(tmp_path)) == ["clip.stats", "out.mkv"]
    assert len(read_recording(kept).reports) == FRAMES


def test_other_options_are_refused_and_nothing_is_lost(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    interrupt(job(clip, out, quality=60), 9)
    kept = journal_path(out).read_bytes()
    other = tmp_path / "other.mkv"
    other.write_bytes(clip.read_bytes())
    weights = Path(__file__).parents[1] / "golden" / "mae" / "golden.safetensors"
    good = job(clip, out, resume=True, quality=60)
    for options, named in (
        (job(clip, out, resume=True, quality=61), "target or rate control"),
        (
            replace(good, request=RateRequest(quality=60, zones=(parse_zone("3-5:quality=80"),))),
            "target or rate",
        ),
        (job(other, out, resume=True, quality=60), "input"),
        (replace(good, measure=True), "--measure"),
        (replace(good, codec_options=CodecOptions("cpu", weights=weights)), "--weights"),
        (
            replace(good, codec_options=CodecOptions("cpu", "bfloat16" if fast_float32() else "float32")),
            "--precision",
        ),
    ):
        with pytest.raises(UsageError, match=f"begun with other values of: .*{named}") as caught:
            compress(options)
        assert "\n" not in str(caught.value)
    assert journal_path(out).read_bytes() == kept
    assert not out.exists()
    watcher = Watcher()
    compress(good, watcher)
    assert watcher.coded < FRAMES


def fast_float32() -> bool:
    from maevid.model.device import choose_placement

    return "float32" in str(choose_placement("cpu"))


def test_a_frame_whose_samples_changed_is_coded_again(clip: Path, tmp_path: Path) -> None:
    """A source changed in place, its size and time as before: no stale packet gets into the file."""
    source, out, fresh = tmp_path / "source.mkv", tmp_path / "out.mkv", tmp_path / "fresh.mkv"
    source.write_bytes(clip.read_bytes())
    before = source.stat()
    interrupt(job(source, out, quality=60), 15)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packet = [p for p in container.demux(video=0) if p.size][4]
    data[data.index(bytes(packet)) + packet.size // 2] ^= 0x55
    source.write_bytes(data)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    compress(job(source, fresh, quality=60))
    compress(job(source, out, resume=True, quality=60))
    assert out.read_bytes() == fresh.read_bytes()


def test_without_resume_it_starts_anew(clip: Path, tmp_path: Path) -> None:
    out, watcher = tmp_path / "out.mkv", Watcher()
    interrupt(job(clip, out, quality=60), 9)
    compress(job(clip, out, quality=60), watcher)
    assert watcher.coded == FRAMES
    assert any("starts anew" in note for note in watcher.notes)
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_resume_without_anything_to_resume(clip: Path, tmp_path: Path) -> None:
    out, watcher = tmp_path / "out.mkv", Watcher()
    compress(job(clip, out, resume=True, quality=60), watcher)
    assert watcher.notes == ["there is nothing to resume; starting at the first frame"]
    made = out.read_bytes()
    with pytest.raises(UsageError, match="is complete, there is nothing to resume"):
        compress(job(clip, out, resume=True, quality=60))
    assert out.read_bytes() == made
    with pytest.raises(UsageError, match="standard input can be read only once"):
        compress(replace(job(clip, tmp_path / "p.mkv", resume=True, quality=60), input="-"))
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_an_older_output_stays_until_the_resumed_one_is_whole(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    out.write_bytes(b"precious")
    interrupt(job(clip, out, quality=60), 9)
    interrupt(job(clip, out, resume=True, quality=60), 12)
    assert out.read_bytes() == b"precious"
    compress(job(clip, out, resume=True, quality=60))
    assert out.stat().st_size > 1000


def test_only_one_process_works_on_a_journal(clip: Path, tmp_path: Path) -> None:
    """A second --resume is refused; a second run without it neither disturbs the first nor is disturbed."""
    out = tmp_path / "out.mkv"
    interrupt(job(clip, out, quality=60), 9)
    alive = Journal.open(journal_path(out))
    assert alive is not None
    before = list(alive.records())
    with pytest.raises(OutputError, match="another process is writing"):
        compress(job(clip, out, resume=True, quality=60))
    compress(job(clip, out, quality=60))
    assert alive.read(before[-1].at) == before[-1]
    assert alive.read(alive.append({"kind": "late"})).values == {"kind": "late"}
    alive.remove()
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_a_system_without_locks_on_files_compresses_and_resumes(clip: Path, tmp_path: Path) -> None:
    """As Python on Windows is: there is no module ``fcntl``."""
    out, uninterrupted = tmp_path / "out.mkv", tmp_path / "whole.mkv"
    interrupt(job(clip, out, quality=60), 9)
    program = (
        "import sys; sys.modules['fcntl'] = None; from maevid.cli import main; "
        f"sys.exit(main(['compress', {str(clip)!r}, {str(out)!r}, '--quality', '60', '--resume', '--device', 'cpu']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "going on with an interrupted encode" in done.stderr
    compress(job(clip, uninterrupted, quality=60))
    assert out.read_bytes() == uninterrupted.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["out.mkv", "whole.mkv"]


@pytest.mark.parametrize("error", [Aborted, RuntimeError, MaevidError])
def test_other_endings_leave_nothing(error: type[Exception], clip: Path, tmp_path: Path) -> None:
    """Asked to stop, or failed in a way that would come again."""
    with pytest.raises(error):
        compress(job(clip, tmp_path / "out.mkv", quality=60), Watcher(9, error))
    assert os.listdir(tmp_path) == []


def test_a_first_pass_that_was_cut_short_is_not_kept(clip: Path, tmp_path: Path) -> None:
    """Told to finish early in the first pass, then interrupted: what goes on is the whole clip."""
    control, out, watcher = Control(), tmp_path / "out.mkv", Watcher(0)

    def finish(event: Event) -> None:
        if event == Progress(10):
            control.finish_early()
        watcher(event)

    with pytest.raises(KeyboardInterrupt, match="frames are kept"):
        compress(job(clip, out, bitrate=250_000), finish, control)
    compress(job(clip, out, resume=True, bitrate=250_000), watcher := Watcher())
    assert Phase.ANALYSIS in watcher.phases
    assert len(watcher.reports) == FRAMES


def test_a_journal_of_someone_else_removes_no_file(clip: Path, tmp_path: Path) -> None:
    """Its token is part of the name of a file that is removed: one with a path in it counts for nothing."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".out.").mkdir()
    out, precious = tmp_path / "deep" / "out.mkv", tmp_path / "precious.part.mkv"
    precious.write_bytes(b"precious")
    for resume in (True, False):
        forged = Journal.create(journal_path(out))
        forged.append({"kind": "job", "token": "/../../precious", "job": {}})
        forged.close()
        compress(job(clip, out, resume=resume, quality=60))
        assert precious.read_bytes() == b"precious"
        assert not journal_path(out).exists()
        out.unlink()


def test_links_and_long_names(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    long = tmp_path / "real" / ("ä" * 120 + ".mkv")
    link = tmp_path / "link.mkv"
    link.symlink_to(long)
    interrupt(job(clip, link, quality=60), 9)
    assert journal_path(link) == journal_path(long)
    assert journal_path(long).exists()
    assert journal_path(long) != journal_path(long.with_name("ä" * 121 + ".mkv"))
    compress(job(clip, link, resume=True, quality=60))
    assert os.listdir(long.parent) == [long.name]
