"""Reports as JSON lines: exact round trip, and clear errors for everything that is no recording."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tui_simulated import numbers

from maevid.errors import InputError
from maevid.report import FrameReport
from maevid.report_io import (
    RecordingWriter,
    is_recording,
    read_recording,
    report_from_record,
    report_to_json,
    write_recording,
)

REAL = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**62)
REPORT = st.builds(
    FrameReport,
    index=COUNT,
    pts=st.integers(-(2**62), 2**62),
    seconds=REAL,
    duration=REAL,
    width=st.integers(1, 65535),
    height=st.integers(1, 65535),
    rate_index=st.integers(0, 255),
    lam=REAL,
    bits=COUNT,
    parts=st.dictionaries(st.text(max_size=8), COUNT, max_size=4),
    psnr=st.one_of(st.just({}), st.fixed_dictionaries({"y": REAL, "u": REAL, "v": REAL})),
    stage_seconds=st.dictionaries(st.text(max_size=8), REAL, max_size=5),
    buffer=st.none() | REAL,
    scene_cut=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(REPORT)
def test_one_line_round_trips_exactly(report: FrameReport) -> None:
    line = report_to_json(report)
    assert "\n" not in line
    back = report_from_record(json.loads(line))
    assert back == report
    assert repr(back.lam) == repr(report.lam)  # the sign of zero too


def test_numpy_numbers_are_written_as_plain_ones() -> None:
    report = FrameReport(
        np.int64(1),
        2,
        np.float64(0.1),
        0.04,
        16,
        16,
        3,
        np.float64(0.3),
        np.int64(99),
        {"latent": np.int64(90)},
    )
    back = report_from_record(json.loads(report_to_json(report)))
    assert back == report
    assert type(back.bits) is int


def test_a_number_that_is_not_finite_is_refused() -> None:
    report = FrameReport(0, 0, 0.0, 0.04, 16, 16, 3, float("inf"), 99)
    with pytest.raises(ValueError, match="JSON"):
        report_to_json(report)


@pytest.mark.parametrize("name", ["stats.jsonl", "stats.jsonl.gz"])
def test_a_file_round_trips_plain_and_packed(tmp_path: Path, name: str) -> None:
    reports = tuple(numbers(40))
    path = tmp_path / name
    write_recording(path, reports, clip={"source": "a.mp4", "target_bitrate": 2e6})
    recording = read_recording(path)
    assert recording.reports == reports
    assert recording.record("clip")["target_bitrate"] == 2e6
    assert recording.record("summary") == {}
    assert is_recording(path)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_a_reader_can_follow_a_writer() -> None:
    class Watched(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    file = Watched()
    writer = RecordingWriter(file)
    writer.record("clip", {"source": "x"})
    for report in numbers(3):
        writer.frame(report)
    assert file.flushes == 4
    with pytest.raises(ValueError, match="frame"):
        writer.record("frame", {})


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_recording(path, numbers(3))
    path.write_text(path.read_text()[:-40])
    assert len(read_recording(path).reports) == 2


GOOD = json.loads(report_to_json(next(iter(numbers(1)))))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("nonsense\n", "line 2"),
        ("[1]\n", "'type'"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "bits"}) + "\n", "'bits' is missing"),
        (json.dumps({**GOOD, "bits": 1.5}) + "\n", "integer"),
        (json.dumps({**GOOD, "lam": "x"}) + "\n", "finite number"),
        (json.dumps({**GOOD, "width": 0}) + "\n", "positive"),
        (json.dumps({**GOOD, "psnr": {"y": 1.0}}) + "\n", "'psnr'"),
        (json.dumps({**GOOD, "parts": 3}) + "\n", "objects"),
        ('{"type":"frame","lam":NaN}\n', "line 2"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, word: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line)
    with pytest.raises(InputError, match=word) as caught:
        read_recording(path)
    assert "s.jsonl, line 2" in str(caught.value)


def test_what_is_no_recording_is_told_apart(tmp_path: Path) -> None:
    binary = tmp_path / "v.mkv"
    binary.write_bytes(b"\x1a\x45\xdf\xa3\xff\xfe" * 10)
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(json.dumps(GOOD).encode() * 20)[:30])
    missing = tmp_path / "none.jsonl"
    for path in (binary, cut, missing, tmp_path):
        assert not is_recording(path) or path == cut
        with pytest.raises(InputError):
            read_recording(path)
