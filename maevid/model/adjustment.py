"""What a packet may add to the post filter: for each plane a gain, an offset and coefficients, fitted to its picture.

The model's filters are right on the average of the pictures that they were fitted to. Of one plane of one picture

    w' = clamp(w + ⌊(gain·w + 4) / 8⌋ + added, -32767, 32767)

are the coefficients of every class, and the offset is added to every sample, in 1/1024. A form says which of these
a plane has, how coarse they are and how they are coded; the packet's second part is one byte that names the forms of
its three planes. The symbols stand behind the latents in the coded string, plane by plane: gain, offset, and where the
form has them the coefficients, the last one first, each under the model's table of a scale index. VVC sends whole
filters in this way. How the encoder finds them: :mod:`maevid.model.adjusting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maevid.errors import DamagedError
from maevid.model.post_filter import GAIN_BITS, Adjustment

GAIN_TABLE, OFFSET_TABLE = 16, 18
"""Scale indices whose tables code gains and offsets."""
OFFSET_STEP = 128
"""What an offset's symbol counts, in 1/1024."""
LARGEST_SYMBOL = 127
"""Of any sign: coefficients stay far within 32 bits, and nothing good lies beyond."""


@dataclass(frozen=True)
class Form:
    """How a plane's coefficients are sent: ``step`` is what a symbol counts, in 1/1024, ``table`` its scale index."""

    step: int
    table: int


NONE, LIGHT = 0, 1
"""Numbers of the forms of a plane that is not adjusted, and of one that has only a gain and an offset."""
FORMS = (None, None, Form(8, 28), Form(16, 24), Form(32, 20), Form(64, 16))
"""By number. Finer steps are for higher rates, where a plane's error is dearer."""


def part_of(forms: Sequence[int]) -> bytes:
    """The second part of a packet whose planes Y, U, V have these forms; without any adjustment there is none."""
    y, u, v = forms
    return bytes([y + len(FORMS) * (u + len(FORMS) * v)])


def forms_of(part: bytes) -> tuple[int, int, int]:
    """The inverse of :func:`part_of`. Raises DamagedError for what it cannot have given."""
    if len(part) != 1 or not 1 <= part[0] < len(FORMS) ** 3:
        raise DamagedError(
            f"packet names no adjustment of the post filter in its second part: {part[:4].hex()}"
        )
    rest, y = divmod(part[0], len(FORMS))
    v, u = divmod(rest, len(FORMS))
    return y, u, v


def table_indexes(form: int, count: int) -> npt.NDArray[np.int16]:
    """The tables of the symbols of a plane with ``count`` coefficients, in their order."""
    if form == NONE:
        return np.empty(0, np.int16)
    sent = FORMS[form]
    rest = [] if sent is None else [sent.table] * count
    return np.array([GAIN_TABLE, OFFSET_TABLE, *rest], np.int16)


def adjustment(form: int, symbols: npt.NDArray[np.int32], count: int) -> Adjustment | None:
    """What a plane's symbols stand for. Raises DamagedError for a symbol beyond ±:data:`LARGEST_SYMBOL`."""
    if form == NONE:
        return None
    if np.abs(symbols.astype(np.int64)).max() > LARGEST_SYMBOL:
        raise DamagedError(
            f"packet adjusts the post filter by more than {LARGEST_SYMBOL} steps: it is damaged"
        )
    sent = FORMS[form]
    coefficients = np.zeros(count, np.int32) if sent is None else symbols[:1:-1] * np.int32(sent.step)
    return Adjustment(int(symbols[0]), OFFSET_STEP * int(symbols[1]), coefficients)


def symbol_steps(form: int, count: int) -> npt.NDArray[np.float64]:
    """By how much a plane's prediction changes with each symbol, as multiples of what it is multiplied with.

    Of a gain that is the filter's change, of an offset one level, of a coefficient its feature.
    """
    sent = FORMS[form]
    rest = [] if sent is None else [sent.step / 1024] * count
    return np.array([2.0**-GAIN_BITS, OFFSET_STEP / 1024, *rest])
