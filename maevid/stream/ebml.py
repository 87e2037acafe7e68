"""EBML, the byte grammar of Matroska (RFC 8794): elements read from bytes, and written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

LONGEST_HEADER = 12
"""Bytes of the longest element header: an ID of 4, a size of 8."""
VOID = 0xEC


class Element(NamedTuple):
    """Where an element lies: ``start`` its ID, ``body`` its content; ``size`` None when it is open-ended."""

    id: int
    start: int
    body: int
    size: int | None

    @property
    def end(self) -> int:
        """Position after the content. Raises ValueError for an open-ended element."""
        if self.size is None:
            raise ValueError("an element of unknown size has no end")
        return self.body + self.size


def read_element(data: bytes, at: int = 0) -> Element | None:
    """The element header at ``at``; None where there is none, or ``data`` ends within it."""
    if at >= len(data):
        return None
    id_bytes = 9 - data[at].bit_length()
    if id_bytes > 4:
        return None
    position = at + id_bytes
    if position >= len(data):
        return None
    size_bytes = 9 - data[position].bit_length()
    body = position + size_bytes
    if size_bytes > 8 or body > len(data):
        return None
    marker = 1 << 7 * size_bytes
    size = int.from_bytes(data[position:body]) - marker
    identity = int.from_bytes(data[at:position])
    return Element(identity, at, body, None if size == marker - 1 else size)


def children(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Element]:
    """The elements from ``start`` to ``end``, one after the other; stops at the first that does not fit."""
    limit = len(data) if end is None else end
    while start < limit:
        child = read_element(data, start)
        if child is None or child.size is None or child.end > limit:
            return
        yield child
        start = child.end


def unsigned(body: bytes) -> int:
    """An unsigned integer (or a date, or a flag); 0 for an empty body."""
    return int.from_bytes(body)


def real(body: bytes) -> float:
    """A floating-point number; 0 for an empty body or one of a length that EBML does not know."""
    if len(body) == 4:
        return float(struct.unpack(">f", body)[0])
    return float(struct.unpack(">d", body)[0]) if len(body) == 8 else 0.0


def text(body: bytes) -> str:
    """A string, which may be padded with zero bytes; bytes that are no UTF-8 become U+FFFD."""
    return body.split(b"\0", 1)[0].decode("utf-8", errors="replace")


def element(identity: int, body: bytes) -> bytes:
    """An element with the shortest size field that holds its length."""
    size_bytes = 1
    while len(body) >= (1 << 7 * size_bytes) - 1:
        size_bytes += 1
    size = (1 << 7 * size_bytes) | len(body)
    return identity.to_bytes((identity.bit_length() + 7) // 8) + size.to_bytes(size_bytes) + body


def unsigned_element(identity: int, value: int) -> bytes:
    """An unsigned integer in as few bytes as hold it."""
    return element(identity, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))


def void(length: int) -> bytes:
    """A Void element of exactly ``length`` bytes, header counted; b"" for 0. Raises ValueError for 1."""
    if length == 0:
        return b""
    if length == 1:
        raise ValueError("no element is one byte long")
    size_bytes = 1 if length <= 9 else 8
    body = length - 1 - size_bytes
    return bytes([VOID]) + ((1 << 7 * size_bytes) | body).to_bytes(size_bytes) + bytes(body)
