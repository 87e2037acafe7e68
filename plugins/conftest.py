"""What the plugins' tests share: each installs its own package for real before it uses it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that a test module lies in, installed by pip into a folder of its own from a copy of its source."""
    plugin = request.path.parents[1]
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(plugin, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]
    done = subprocess.run(
        [*pip, str(folder / "site"), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"
