"""The terminal that tests of the real app share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tui_tmux import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    session = Terminal(tmp_path)
    yield session
    session.close()
