"""The journal of an encode: a file of whole records beside the output, which a killed process leaves behind.

A record is its length and CRC-32 (little-endian), a line of JSON, and bytes; the file begins with a magic line. Records
are appended by one write each, so that a file that ends anywhere is good up to its last whole record. Whoever has a
journal open holds a lock on it, where the system has such locks (Windows has not).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from maevid.atomic import reason
from maevid.errors import OutputError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_MAGIC = b"maevid journal 2\n"
_HEAD = struct.Struct("<II")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Record:
    """``values`` are what JSON holds, ``body`` the bytes beside them; the record lies from ``at`` to ``end``."""

    at: int
    end: int
    values: Mapping[str, Any]
    body: bytes


def journal_path(output: str | Path) -> Path:
    """Where the journal of an output lies: hidden beside it, or beside what it links to."""
    target = Path(os.path.realpath(output))
    name = target.name.encode()
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 9] + b"-%08x" % crc32(name)
    return target.parent / f".{name.decode(errors='ignore')}.journal"


class Journal:
    """One journal, open and locked: :meth:`records` once, then :meth:`append` and :meth:`read` in any order.

    Every method that writes raises OutputError.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self._end = len(_MAGIC)

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new journal with no record; it takes the place of one that stands there. Raises OutputError."""
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            file = FileIO(fresh, "x+")
            try:
                _lock(file)
                file.write(_MAGIC)
                os.replace(fresh, path)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise OutputError(f"cannot write in {path.parent}: {reason(error)}") from error
        return cls(path, file)

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """The journal that stands there; None where there is none.

        Raises OutputError where it cannot be read, and BlockingIOError where another process is writing it.
        """
        try:
            file = FileIO(path, "r+")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"cannot read {path}: {reason(error)}") from error
        _lock(file)
        return cls(path, file) if file.read(len(_MAGIC)) == _MAGIC else None

    def records(self) -> Iterator[Record]:
        """The whole records in order. What follows the last of them is cut off."""
        while (record := self._record(self._end)) is not None:
            self._end = record.end
            yield record
        self._file.truncate(self._end)

    def read(self, at: int) -> Record:
        """The record at a position that :meth:`append` or a record has told."""
        record = self._record(at)
        if record is None:
            raise OutputError(f"{self.path} was changed while it was in use")
        return record

    def append(self, values: Mapping[str, Any], body: bytes = b"") -> int:
        """Add a record; returns its position."""
        payload = json.dumps(values, allow_nan=False, separators=(",", ":")).encode() + b"\n" + body
        at = self._end
        try:
            self._file.seek(at)
            written = self._file.write(_HEAD.pack(len(payload), crc32(payload)) + payload)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {reason(error)}") from error
        if written != _HEAD.size + len(payload):
            raise OutputError(f"cannot write {self.path}: no space left on device")
        self._end += written
        return at

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._file.close()

    def remove(self) -> None:
        """Let go of the file and remove it, unless another has taken its place."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self._file.fileno())):
                self.path.unlink()
        self.close()

    def _record(self, at: int) -> Record | None:
        """The record at ``at``, None where there is no whole one."""
        self._file.seek(at)
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, check = _HEAD.unpack(head)
        end = at + _HEAD.size + length
        if end > os.fstat(self._file.fileno()).st_size:
            return None
        payload = self._file.read(length)
        if len(payload) != length or crc32(payload) != check:
            return None
        line, _, body = payload.partition(b"\n")
        return Record(at, end, json.loads(line), body)


def _lock(file: FileIO) -> None:
    """Raises BlockingIOError where another process holds the lock; where there are no locks, there is none."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    except OSError:
        return
