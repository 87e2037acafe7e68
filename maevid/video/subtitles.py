"""MP4's text subtitles as Matroska's: the words and times stay, MP4's own styling boxes have no place
there."""

from __future__ import annotations

import codecs

MOV_TEXT = "mov_text"
SUBRIP = "subrip"
_LENGTH_BYTES = 2


def subrip_text(sample: bytes) -> bytes:
    """The UTF-8 text in an MP4 text sample (3GPP TS 26.245, 5.17); empty for one that only marks a pause.

    A sample is a 16-bit length, that many bytes of UTF-8 or of UTF-16 with a byte order mark, then style
    boxes.
    """
    length = int.from_bytes(sample[:_LENGTH_BYTES], "big")
    text = sample[_LENGTH_BYTES : _LENGTH_BYTES + length]
    if text.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        text = text.decode("utf-16", errors="replace").encode()
    return text
