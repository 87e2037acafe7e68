"""Every packet of a file checked as far as it can be without decoding, and further with its codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maevid.errors import DamagedError
from maevid.stream.packet import Packet
from maevid.stream.reader import Coded, StreamReader

if TYPE_CHECKING:
    from maevid.codec.interface import FrameCodec


@dataclass(frozen=True, slots=True)
class PacketCheck:
    """What came of checking one picture; ``problem`` is one line, None when all is well.

    ``index`` counts from 0, ``pts`` is in units of the reader's ``info.time_base``.
    """

    index: int
    pts: int
    problem: str | None


def verify(reader: StreamReader, codec: FrameCodec | None = None) -> Iterator[PacketCheck]:
    """Check every picture of a file, in order.

    Checked are the packet's fields and CRC, its model (that of the file's tag, else of the first good
    packet), its size in samples (the file's), its pts (later than the one before), and, given a ``codec``,
    what ``codec.check`` finds in the latents. ModelError from the codec (it is not the one that the
    packets need) goes to the caller: it says nothing about the file. Whether the file is cut tells
    ``reader.truncated``.
    """
    model = reader.described.model
    size = (reader.info.width, reader.info.height)
    before: int | None = None
    for coded in reader:
        problem = str(coded.error) if coded.error else None
        if coded.packet is not None:
            model = model or coded.packet.model
            problem = _problem(coded, coded.packet, model, size, before)
            before = coded.pts
            if problem is None and codec is not None:
                try:
                    codec.check(coded.packet)
                except DamagedError as error:
                    problem = f"frame {coded.index}: {error}"
        yield PacketCheck(coded.index, coded.pts, problem)


def _problem(
    coded: Coded, packet: Packet, model: bytes, size: tuple[int, int], before: int | None
) -> str | None:
    """What is wrong with a packet that is whole in itself."""
    name = f"frame {coded.index}"
    if packet.model != model:
        return f"{name} is of model {packet.model.hex()}, the file's is {model.hex()}"
    if (packet.width, packet.height) != size:
        return f"{name} has {packet.width}x{packet.height} samples, the file has {size[0]}x{size[1]}"
    if before is not None and coded.pts <= before:
        return f"{name} has pts {coded.pts}, which is not after {before}"
    return None
