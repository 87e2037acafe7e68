"""The table of real encodes (benchmarks/rate_control.py): a small part of it, measured, kept, and judged."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("rate_control")


def run(
    table: ModuleType, monkeypatch: pytest.MonkeyPatch, out: Path, *words: str
) -> dict[tuple[str, str], dict]:
    """Run the command; its cells by content and mode."""
    monkeypatch.setattr(sys, "argv", ["rate_control.py", str(out), *words])
    with pytest.raises(SystemExit):
        table.main()
    cells = json.loads((out / "table.json").read_text())["cells"]
    return {(cell["content"], cell["mode"]): cell for cell in cells}


def test_a_small_table_of_real_encodes_keeps_its_promises_and_is_not_measured_twice(
    table: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--only", "10-frames", "1-frame", "--size", "96x64", "--targets", "0.6", "--modes")
    cells = run(table, monkeypatch, tmp_path, *words, "two-pass", "peak", "frame-bytes")
    two, peak, limit = (cells["10-frames", mode] for mode in ("two-pass", "peak", "frame-bytes"))
    assert abs(two["error"]) <= 1
    assert two["lost"] <= 0.03
    assert two["settle"] == 0
    assert two["time"] > 1
    assert peak["underflows"] == 0
    assert -5 <= limit["error"] <= 0
    # Byte for byte what each frame is when coded alone at its index.
    assert not any(
        "bytes" in miss or "frames in" in miss for cell in cells.values() for miss in cell["misses"]
    )
    assert "| two-pass | 2 |" in capsys.readouterr().out
    kept = (tmp_path / "cells.jsonl").read_text()
    assert len(kept.splitlines()) == 6
    assert run(table, monkeypatch, tmp_path, *words, "two-pass") == {
        key: cell for key, cell in cells.items() if key[1] == "two-pass"
    }
    assert (tmp_path / "cells.jsonl").read_text() == kept
    assert (tmp_path / "table.md").read_text().count("\n| ") >= 4
    run(table, monkeypatch, tmp_path, "--report", *words, "two-pass", "psnr")
    assert (tmp_path / "cells.jsonl").read_text() == kept
    assert "\n| content | two-pass |\n" in (tmp_path / "table.md").read_text()
    # Rows of other weights stand where today's have none, and say whose they are.
    both = tmp_path / "both"
    both.mkdir()
    today = json.loads(kept.splitlines()[0])["setting"].split()[0]
    (both / "cells.jsonl").write_text(kept.splitlines()[0] + "\n" + kept.replace(today, "01234567"))
    words = ("--report", *words, "two-pass", "peak", "frame-bytes")
    assert len(run(table, monkeypatch, both, *words)) == 1
    merged = run(table, monkeypatch, both, *words, "--older", "01234567")
    assert sorted(cell["weights"] for cell in merged.values()) == ["01234567"] * 5 + [today]
    assert (
        f"\n| peak | 01234567 | {sum(mode == 'peak' for _, mode in merged)} |\n"
        in (both / "table.md").read_text()
    )


@pytest.mark.parametrize(
    ("mode", "frames", "figures", "words"),
    [
        ("two-pass", 250, {"error": 1.1}, "error +1.10 %"),
        ("two-pass", 250, {"error": 0.1, "lost": 0.04}, "0.040 dB lost"),
        ("two-pass", 250, {"error": 0.1, "time": 1.7}, "1.70 × one pass"),
        ("two-pass", 5, {"error": 3.0, "time": 4.0}, ""),
        ("one-pass", 250, {"error": -4.2}, "error -4.20 %"),
        ("one-pass", 60, {"error": -4.2, "settle": 3}, "3 frames to settle"),
        ("one-pass", 250, {"error": -50.0, "settle": 9, "unreachable": 0.5}, ""),
        ("size", 5, {"error": 0.01}, "over by 0.01 %"),
        ("size", 5, {"error": -2.5}, "97.5 % used"),
        ("frame-bytes", 5, {"error": -5.5}, "94.5 % filled"),
        ("psnr", 5, {"error": 0.11}, "+0.110 dB"),
        ("peak", 5, {"error": 0.0, "underflows": 2}, "2 underflows"),
    ],
)
def test_a_broken_promise_is_a_miss(
    table: ModuleType, mode: str, frames: int, figures: dict[str, float], words: str
) -> None:
    cells = importlib.import_module("rate_cells")
    assert "; ".join(cells.judge(cells.Cell("x", mode, 0.3, frames, **figures))) == words


def test_made_clips_are_seeded_and_know_their_cuts(table: ModuleType) -> None:
    clips = importlib.import_module("rate_clips")
    for name in clips.MADE:
        clip = clips.made_clip(name, 30, (48, 32), seed=2)
        again = clips.made_clip(name, 30, (48, 32), seed=2)
        assert len(clip.frames) == {"1-frame": 1, "5-frames": 5, "10-frames": 10}.get(name, 30)
        assert all(
            (a.y == b.y).all() and a.pts == b.pts for a, b in zip(clip.frames, again.frames, strict=True)
        )
        assert clip.cuts == {"cuts12": (12, 24), "easyhard": (25,)}.get(name, ())
