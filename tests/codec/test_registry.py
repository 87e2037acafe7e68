"""Codecs of other packages: listed without a look inside, loaded when someone names them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from maevid.cli import main
from maevid.stream.reader import StreamReader
from maevid.stream.writer import StreamWriter

NAME = "maevid_spy_codec"


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed package whose codec cannot even be imported; gives its codec's name."""
    information = tmp_path / "site" / f"{NAME}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[maevid.codecs]\nspy = {NAME}:open_codec\n")
    (information.parent / f"{NAME}.py").write_text(
        f"import sys\nsys.modules['{NAME}_was_here'] = sys\nraise ImportError('it does not load')\n"
    )
    monkeypatch.syspath_prepend(information.parent)
    yield "spy"
    sys.modules.pop(f"{NAME}_was_here", None)


def was_loaded() -> bool:
    return f"{NAME}_was_here" in sys.modules


def test_a_plugin_loads_only_when_it_is_named(
    spy: str, hall: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.mkv"
    assert main(["codecs"]) == 0
    assert f"{NAME} 1.0" in capsys.readouterr().out
    assert main(["compress", str(hall), str(out), "--quality", "10"]) == 0
    assert main(["decompress", str(out), str(tmp_path / "back.mkv")]) == 0
    forged = tmp_path / "forged.mkv"
    with StreamReader(out) as reader:
        packet = reader.packet(0)
        with StreamWriter(forged, reader.info, codec=spy, model=packet.model, weights="00" * 32) as writer:
            writer.write(packet)
            writer.write(replace(packet, pts=packet.pts + 100))
    assert main(["info", str(forged)]) == 0
    assert main(["verify", str(forged), "--quick"]) == 0
    assert not was_loaded()
    capsys.readouterr()
    assert main(["compress", str(hall), str(tmp_path / "p.mkv"), "--codec", spy]) == 2
    assert was_loaded()
    assert capsys.readouterr().err.splitlines() == [
        "maevid: codec 'spy' is installed but cannot be loaded: it does not load"
    ]
    assert main(["decompress", str(forged), str(tmp_path / "p.mkv")]) == 2
    assert not (tmp_path / "p.mkv").exists()
