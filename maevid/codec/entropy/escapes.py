"""Values outside a table's range, as LEB128 numbers: in whole bytes, so that a few array steps code them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maevid.errors import DamagedError

MAX_BYTES = 5
"""The distance of any int32 from any table, sign folded in, fits 33 bits: five groups of seven."""

_GROUPS = np.arange(MAX_BYTES)


def escape_bytes(
    symbols: npt.NDArray[np.int32], minimum: npt.NDArray[np.int32], size: npt.NDArray[np.int32]
) -> bytes:
    """The LEB128 numbers of escaped symbols, in order (see :mod:`.coder` for the folding of the sign).

    ``minimum`` and ``size`` hold each symbol's table range; every symbol must lie outside it.
    """
    value = symbols.astype(np.int64)
    below = minimum.astype(np.int64) - 1 - value
    above = value - minimum - size
    number = np.where(below >= 0, 2 * below + 1, 2 * above)
    groups = number[:, None] >> (7 * _GROUPS)
    present = (groups > 0) | (_GROUPS == 0)
    more = (groups >> 7) > 0
    digits = ((groups & 0x7F) | (more << 7)).astype(np.uint8)
    return bytes(digits[present].data)


def read_escapes(
    data: npt.NDArray[np.uint8], minimum: npt.NDArray[np.int32], size: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], int]:
    """The first ``len(minimum)`` escaped symbols in ``data``, and how many bytes they took.

    Raises DamagedError when the bytes run out, or hold a number that :func:`escape_bytes` never writes.
    """
    count = len(minimum)
    window = data[: MAX_BYTES * count]
    ends = np.flatnonzero(window < 0x80)[:count]
    if len(ends) < count:
        raise DamagedError("entropy-coded data is damaged: an escaped value is cut or too long")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > MAX_BYTES:
        raise DamagedError("entropy-coded data is damaged: an escaped value is too long")
    if ((window[ends] == 0) & (lengths > 1)).any():
        raise DamagedError("entropy-coded data is damaged: an escaped value has empty digits")
    used = int(ends[-1]) + 1
    place = np.arange(used) - np.repeat(starts, lengths)
    number = np.add.reduceat((window[:used] & 0x7F).astype(np.int64) << (7 * place), starts)
    distance = number >> 1
    first = minimum.astype(np.int64)
    value = np.where(number & 1, first - 1 - distance, first + size + distance)
    limits = np.iinfo(np.int32)
    if ((value < limits.min) | (value > limits.max)).any():
        raise DamagedError("entropy-coded data is damaged: an escaped value is beyond int32")
    return value.astype(np.int32), used
