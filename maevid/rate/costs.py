"""What the first pass measured, as plain numbers in arrays: an hour of it takes about a megabyte."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload


@dataclass(frozen=True, slots=True)
class FrameCost:
    """What the first pass (or a probe) found for one frame.

    ``bits`` maps rate indices to bits of the packet, header counted, true or estimated (within 2 %);
    ``psnr`` maps rate indices to PSNR-Y in dB and may be empty.
    """

    frame: int
    bits: Mapping[int, float]
    psnr: Mapping[int, float] = field(default_factory=dict)


class Costs(Sequence[FrameCost]):
    """Many :class:`FrameCost` in the order in which they came; one is made anew whenever it is asked for.

    As objects they would take some 400 bytes each, here it is 24 and 16 for each number.
    """

    def __init__(self, costs: Iterable[FrameCost] = ()) -> None:
        self._frames = array("q")
        self._bits = _Maps()
        self._psnr = _Maps()
        for cost in costs:
            self.append(cost)

    def append(self, cost: FrameCost) -> None:
        """Add one at the end. Raises OverflowError for a frame or an index beyond 64 bits."""
        self._frames.append(cost.frame)
        self._bits.append(cost.bits)
        self._psnr.append(cost.psnr)

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, place: int) -> FrameCost: ...

    @overload
    def __getitem__(self, place: slice) -> Costs: ...

    def __getitem__(self, place: int | slice) -> FrameCost | Costs:
        if isinstance(place, slice):
            return Costs(self[n] for n in range(*place.indices(len(self))))
        # The array knows what is out of range, and what a negative place is.
        frame, at = self._frames[place], place % len(self)
        return FrameCost(frame, self._bits[at], self._psnr[at])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Costs):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class _Maps:
    """Small maps from whole numbers to reals, one after the other."""

    def __init__(self) -> None:
        self._ends = array("q", [0])
        self._keys = array("q")
        self._values = array("d")

    def append(self, values: Mapping[int, float]) -> None:
        self._keys.extend(values.keys())
        self._values.extend(values.values())
        self._ends.append(len(self._keys))

    def __getitem__(self, place: int) -> dict[int, float]:
        inside = slice(self._ends[place], self._ends[place + 1])
        return dict(zip(self._keys[inside], self._values[inside], strict=True))
