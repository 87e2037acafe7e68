"""The examples of docs/python.md, run as the one program that they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_examples_run(hall, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    assert len(blocks) == 6
    shutil.copy(hall, tmp_path / "in.mp4")
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), "docs/python.md", "exec"), {"__name__": "examples"})
    made = {"in.mp4", "out.mkv", "back.mkv", "made.mkv", "times.mkv", "part.mkv"}
    assert {p.name for p in tmp_path.iterdir()} == made
