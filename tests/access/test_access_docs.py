"""The examples of docs/python.md, run as the one program that they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import maevid

ROOT = Path(__file__).parents[2]


def test_examples_run(hall, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    assert len(blocks) == 6
    shutil.copy(hall, tmp_path / "in.mp4")
    (tmp_path / "examples.py").write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "examples.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(maevid.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {
        "in.mp4",
        "out.mkv",
        "back.mkv",
        "made.mkv",
        "times.mkv",
        "part.mkv",
        "examples.py",
    }
