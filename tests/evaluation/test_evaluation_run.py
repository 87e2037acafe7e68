"""The whole command on a real plugin: true bytes, resuming, codecs that fail, the report's files."""

from __future__ import annotations

import csv
import json
import signal
import time
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

pytest.importorskip("pytorch_msssim")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
from maevid.codec.interface import CodecOptions
from maevid.codec.registry import open_codec
from maevid.errors import InputError
from maevid.evaluation.inputs import find_inputs
from maevid.evaluation.measurement import Store
from maevid.evaluation.metrics import measure
from maevid.evaluation.points import rate_points
from maevid.evaluation.runner import Plan, run


def quiet(text: str) -> None:
    """Tells nobody."""


@pytest.mark.usefixtures("toys")
def test_measurements_are_what_the_codec_really_does(pictures: Path, clip: Path, tmp_path: Path) -> None:
    inputs = find_inputs([pictures / "a.png", clip])
    outcome = run(Plan(inputs, ["toy-best"], points=3, frames=4), Store(tmp_path / "m.jsonl"), quiet)
    codec = open_codec("toy-best", CodecOptions())
    assert not outcome.failures
    assert [one.input for one in outcome.measurements] == ["a.png"] * 3 + ["steps.mkv"] * len(
        outcome.measurements[3:]
    )
    for one in outcome.measurements:
        frames = inputs[0 if one.input == "a.png" else 1].load(4)
        coded = [codec.encode(frame, one.rate_index, reconstruct=True) for frame in frames]
        assert one.sizes == [len(c.packet.to_bytes()) for c in coded]
        values = [measure(f.planes, c.reconstruction) for f, c in zip(frames, coded, strict=True)]
        for name, found in one.metrics.items():
            if name != "vmaf":
                assert found == pytest.approx([v[name] for v in values])
        assert one.encode_seconds > 0
        assert one.decode_seconds > 0
        samples = one.width * one.height * len(one.sizes)
        assert one.bits_per_pixel == pytest.approx(8 * sum(one.sizes) / samples)


@pytest.mark.usefixtures("toys")
def test_a_codec_is_compared_with_itself_at_another_effort(pictures: Path, tmp_path: Path) -> None:
    plan = Plan(find_inputs([pictures / "a.png"]), ["toy-fast", "toy-fast@8"], points=3)
    store = Store(tmp_path / "m.jsonl")
    measured = run(plan, store, quiet).measurements
    assert [(one.codec, one.settings) for one in measured] == [
        *[("toy-fast", "zlib level 1")] * 3,
        *[("toy-fast@8", "zlib level 9")] * (len(measured) - 3),
    ]
    assert len(measured) > 3
    assert run(plan, store, quiet).measurements == measured


@pytest.mark.usefixtures("toys")
def test_rate_points_span_the_rates_of_interest_evenly(pictures: Path) -> None:
    codec = open_codec("toy-best", CodecOptions())
    frames = [item.load(1)[0] for item in find_inputs([pictures / "a.png"])]
    points = rate_points(codec, frames, 6)
    rates = [8 * len(codec.encode(frames[0], index).packet.to_bytes()) / frames[0].y.size for index in points]
    above = 8 * len(codec.encode(frames[0], points[-1] + 1).packet.to_bytes()) / frames[0].y.size
    assert rates[-1] <= 1.5 < above
    assert points[0] == 0 or rates[0] <= 0.1
    gaps = [b - a for a, b in pairwise(points)]
    assert len(points) == 6
    assert max(gaps) - min(gaps) <= 1
    assert rate_points(codec, frames, 1)[0] in range(points[0], points[-1] + 1)


@pytest.mark.usefixtures("toys")
def test_nothing_is_measured_twice_and_a_torn_line_is_measured_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, store = tmp_path / "log", tmp_path / "m.jsonl"
    monkeypatch.setenv("TOY_LOG", str(log))
    plan = Plan(find_inputs([pictures]), ["toy-best", "toy-fast"], points=2)
    first = run(plan, Store(store), quiet)
    log.unlink()
    assert run(plan, Store(store), quiet) == first
    assert not log.exists()
    text = store.read_text()
    store.write_text(text[: -len(text.splitlines()[-1]) // 2])
    again = run(plan, Store(store), quiet)
    assert log.read_text() == "x"
    assert [one.sizes for one in again.measurements] == [one.sizes for one in first.measurements]
    assert len(store.read_text().splitlines()) == len(text.splitlines())


def test_a_killed_run_goes_on_where_it_stopped(pictures: Path, tmp_path: Path, evaluate) -> None:
    out = tmp_path / "report"
    command = (pictures, "--codecs", "toy-fast", "--points", "4", "--out", out)
    process = evaluate.start(*command, TOY_SECONDS="0.06")
    lines = out / "measurements.jsonl"
    limit = time.monotonic() + 40
    while not lines.exists() or len(lines.read_text().splitlines()) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = lines.read_text().splitlines()[:3]
    log = tmp_path / "log"
    code, _, _ = evaluate(*command, TOY_LOG=str(log))
    assert code == 0
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [json.loads(line) for line in kept] == records[:3]
    assert sum(record["type"] == "measurement" for record in records) == 12
    assert len({(r["input"], r["rate_index"]) for r in records if r["type"] == "measurement"}) == 12
    assert len(log.read_text()) <= 10


def test_an_interrupted_run_says_that_it_can_go_on(pictures: Path, tmp_path: Path, evaluate) -> None:
    out = tmp_path / "report"
    process = evaluate.start(pictures, "--codecs", "toy-fast", "--out", out, TOY_SECONDS="0.08")
    limit = time.monotonic() + 40
    while not (out / "measurements.jsonl").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "maevid: interrupted; the same command goes on from here\n"


def test_the_report_and_a_codec_that_fails(pictures: Path, tmp_path: Path, evaluate) -> None:
    out = tmp_path / "report"
    codecs = "toy-best,toy-fast,toy-picky"
    code, text, errors = evaluate(
        pictures, "--codecs", codecs, "--reference", "toy-fast", "--points", 4, "--out", out
    )
    assert code == 1
    assert errors.splitlines() == [
        "maevid: toy-picky failed on wide.png: RuntimeError: too wide for me",
    ]
    assert "BD-rate against toy-fast" in text
    report = json.loads((out / "report.json").read_text())
    assert report["about"]["versions"]["toy-codecs"] == "1.5"
    assert report["about"]["failures"] == [
        {"codec": "toy-picky", "input": "wide.png", "reason": "RuntimeError: too wide for me"}
    ]
    (group,) = report["groups"]
    found = group["bd_rates"]["psnr_y"]
    assert found["toy-best"]["mean"] < 0
    assert set(found["toy-picky"]["by_input"]) == {"a.png", "b.png"}
    assert "wide.png" not in group["bd_rates"]["ms_ssim_db"]["toy-best"]["by_input"]
    rows = list(csv.DictReader((out / "points.csv").open()))
    assert {row["codec"] for row in rows} == set(codecs.split(","))
    assert all(float(row["bits_per_pixel"]) > 0 and float(row["psnr_y"]) > 0 for row in rows)
    plot = out / f"rd-{pictures.name}.png"
    with Image.open(plot) as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
    words = "".join(ElementTree.parse(plot.with_suffix(".svg")).getroot().itertext())
    assert plot.with_suffix(".svg").stat().st_size > 10_000
    assert "Date" not in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--codecs", "toy-none"), "no codec 'toy-none' is installed"),
        (("--codecs", "toy-best", "--reference", "toy-fast"), "is not among"),
        (("--codecs", ","), "at least one name"),
        (("--codecs", "toy-best@"), "toy-best@5"),
        (("--codecs", "toy-none@5"), "no codec 'toy-none' is installed"),
        (("--codecs", "toy-best", "--points", "0"), "at least 1"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    pictures: Path, tmp_path: Path, evaluate, arguments, words: str
) -> None:
    code, _, errors = evaluate(pictures, *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "measurements.jsonl"
    path.write_text("my diary\nday two\n")
    with pytest.raises(InputError, match="line 1 is no measurement"):
        Store(path)
    assert path.read_text() == "my diary\nday two\n"
