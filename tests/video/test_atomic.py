"""An output file appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maevid.atomic import AtomicFile, atomic_output, refuse_same_file
from maevid.errors import OutputError, UsageError


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".mkv"
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.mkv"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out.mkv"
    target.write_bytes(b"old")

    def fail() -> None:
        with atomic_output(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mkv"]


def test_a_link_is_followed_and_permissions_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.mkv"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.mkv"
    link.symlink_to(real)
    with atomic_output(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_very_long_name_works(tmp_path: Path) -> None:
    target = tmp_path / ("ü" * 120 + ".mkv")
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"x")
    assert target.read_bytes() == b"x"


def test_what_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        AtomicFile(tmp_path / "missing" / "out.mkv")
    with pytest.raises(OutputError, match="is a folder"):
        AtomicFile(tmp_path)
    fifo = tmp_path / "fifo.mkv"
    os.mkfifo(fifo)
    with pytest.raises(OutputError, match="not an ordinary file"):
        AtomicFile(fifo)
    with pytest.raises(OutputError, match="/proc"):
        AtomicFile("/proc/out.mkv")


def test_discard_and_commit_may_be_repeated(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "a.mkv")
    file.commit()
    file.discard()
    file.commit()
    assert os.listdir(tmp_path) == ["a.mkv"]


def test_input_and_output_must_differ(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    source.write_bytes(b"x")
    hard = tmp_path / "b.mkv"
    hard.hardlink_to(source)
    with pytest.raises(UsageError, match="same file"):
        refuse_same_file(source, hard)
    refuse_same_file(source, tmp_path / "c.mkv")
    refuse_same_file("-", "-")
