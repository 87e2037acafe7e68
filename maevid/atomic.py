"""Output files that appear whole or not at all: written beside the target, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from maevid.errors import OutputError, UsageError

STANDARD_STREAM = "-"
_LONGEST_STEM = 150


class AtomicFile:
    """One output file on its way: write to :attr:`temporary`, then :meth:`commit` or :meth:`discard`.

    The temporary file is created at once, so that an output that cannot be written fails before any work.
    Its name is ``.<stem>.<16 hex digits>.part<suffix>``: hidden, in the same folder (a rename stays
    atomic) and with the same suffix (a muxer that looks at the name picks the right format). A link is
    followed: its target is replaced. As a context manager it commits on success and discards on any
    exception, ``KeyboardInterrupt`` included. ``token`` takes the place of the random digits, so that whoever knows it
    can remove what a killed process has left (:func:`temporary_path`).

    Raises :class:`~maevid.errors.OutputError` when the folder is missing or read-only, or when the target
    is a folder, a device, a pipe or a write-protected file.
    """

    def __init__(self, path: str | Path, token: str | None = None) -> None:
        target = Path(os.path.realpath(path))
        mode = _mode_of_existing(target, path)
        folder = target.parent
        if not folder.is_dir():
            raise OutputError(f"the folder {folder} does not exist; create it or choose another output")
        temporary = temporary_path(target, token or secrets.token_hex(8))
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except OSError as error:
            raise OutputError(f"cannot write in {folder}: {reason(error)}") from error
        with os.fdopen(descriptor, "wb"):
            if mode is not None:
                temporary.chmod(mode)
        self.path = Path(path)
        self.temporary = temporary
        self._target = target
        self._open = True

    def commit(self) -> None:
        """Rename the temporary file to the output's name, over a file that may stand there."""
        if not self._open:
            return
        try:
            # Otherwise a power failure could leave the name without the content.
            flush_to_disk(self.temporary)
            os.replace(self.temporary, self._target)
        except OSError as error:
            self.discard()
            raise OutputError(f"cannot write {self.path}: {reason(error)}") from error
        self._open = False

    def discard(self) -> None:
        """Remove the temporary file; a file of the output's name stays as it was. Harmless after commit."""
        if self._open:
            self._open = False
            self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def temporary_path(path: str | Path, token: str) -> Path:
    """The name under which the output ``path`` is written."""
    target = Path(os.path.realpath(path))
    stem = target.stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
    return target.parent / f".{stem}.{token}.part{target.suffix}"


@contextlib.contextmanager
def atomic_output(path: str | Path) -> Iterator[Path]:
    """The temporary path to write to; renamed to ``path`` when the block ends well, removed when it does
    not.

    Raises what :class:`AtomicFile` raises, before the block is entered.
    """
    with AtomicFile(path) as file:
        yield file.temporary


def refuse_same_file(source: str | Path, output: str | Path) -> None:
    """Raise :class:`~maevid.errors.UsageError` when both names lead to one file (a link, another
    spelling)."""
    if STANDARD_STREAM in (str(source), str(output)):
        return
    with contextlib.suppress(OSError):
        if os.path.samefile(source, output):
            raise UsageError(f"input and output are the same file ({output}); choose another output name")


def read_only_once(source: str | Path) -> bool:
    """Whether an input is gone once it was read: standard input, a pipe, a socket, a terminal."""
    if str(source) == STANDARD_STREAM:
        return True
    try:
        mode = os.stat(source).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content would survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: OSError) -> str:
    """The operating system's words for an error, without number and file name."""
    return (error.strerror or str(error)).lower()


def _mode_of_existing(target: Path, shown: str | Path) -> int | None:
    """Permission bits of the file that will be replaced; None when there is none yet."""
    try:
        found = target.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot write {shown}: {reason(error)}") from error
    if stat.S_ISDIR(found):
        raise OutputError(f"the output {shown} is a folder; give the name of a file")
    if not stat.S_ISREG(found):
        raise OutputError(f"the output {shown} is not an ordinary file; for a pipe write to -")
    if not os.access(target, os.W_OK):
        raise OutputError(f"the output {shown} exists and is write-protected; choose another name")
    return stat.S_IMODE(found)
