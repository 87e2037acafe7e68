"""The MAE as a frame codec: network, entropy coder and packet put together.

The packet's only part is one coded string: the hyper-latents, then the latents of the first pass, then those
of the second, each in order channel, row, column. The table of a hyper-latent is given by rate index and
channel, that of a latent by its scale index and by which quantiser it has, where there are two in turn; latents of a
scale index below 4 are not in the string.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from maevid.codec.batches import Batches
from maevid.codec.entropy import OVERHEAD_BYTES, Decoder, encode
from maevid.codec.interface import CodecOptions, Encoded, FrameCodec
from maevid.errors import DamagedError, LatentError, ModelError
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import RATE_INDICES
from maevid.model.device import choose_placement
from maevid.model.integer import BATCH_LIMIT
from maevid.model.network import Network, Quantised
from maevid.model.passes import coded_places, pass_masks
from maevid.model.prior import HYPER_FACTOR, HYPER_LIMIT, SYMBOL_LIMIT
from maevid.model.refinement import Refinement
from maevid.model.trellis import APART, FIRST_TABLE, restored
from maevid.model.workers import lanes_for, side_by_side
from maevid.stream.packet import Packet, header_size
from maevid.video.frame import Frame, Plane

T = TypeVar("T")

WEIGHTS = Path(__file__).parent.parent / "model" / "weights"


def open_mae(options: CodecOptions) -> FrameCodec:
    """The default model, or the one in ``options.weights``."""
    return MaeCodec(Checkpoint.load(options.weights or WEIGHTS / "mae.safetensors"), options)


def open_mae_fast(options: CodecOptions) -> FrameCodec:
    """The small model, a third of the work, or the one in ``options.weights``."""
    weights = options.weights or WEIGHTS / "mae-fast.safetensors"
    return MaeCodec(Checkpoint.load(weights), options, name="mae-fast")


class MaeCodec(FrameCodec):
    """A modulated autoencoder behind the frame codec interface.

    ``name`` is the codec's, whatever configuration its weights are of: it is what a file names for those who read it.
    """

    latents_checked = True

    def __init__(self, checkpoint: Checkpoint, options: CodecOptions, name: str = "mae") -> None:
        self.name = name
        one = checkpoint.config.lambda_min == checkpoint.config.lambda_max
        self.rate_indices = range(1 if one else RATE_INDICES)
        self.sha256 = checkpoint.sha256
        self.identity = bytes.fromhex(checkpoint.sha256[:8])
        self.network = Network(checkpoint, choose_placement(options.device, options.precision))
        self.tables = checkpoint.tables()
        self._refinement = Refinement(self.network, options.effort) if options.effort else None
        self.description = str(self.network.placement)
        if options.effort:
            self.description += f", effort {options.effort}"
        self._batches = Batches()
        if self.network.placement.device.type == "cpu":
            self.batch_size = torch.get_num_threads()

    def lanes(self, samples: int) -> int:
        """On the CPU as many as there are threads; a GPU takes pictures in batches."""
        return lanes_for(samples) if self.network.placement.device.type == "cpu" else 1

    def lam(self, rate_index: int) -> float:
        """λ of a rate index 0..255."""
        return self.network.config.lam(rate_index)

    def encode(self, frame: Frame, rate_index: int, *, reconstruct: bool = False) -> Encoded:
        """Code one frame; see :meth:`encode_batch`."""
        return self.encode_batch([frame], [rate_index], reconstruct=reconstruct)[0]

    def encode_batch(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], *, reconstruct: bool = False
    ) -> list[Encoded]:
        """Code frames of one size, each at its rate index: on the CPU side by side, elsewhere in batches that fit."""
        samples = frames[0].y.size if frames else 0

        def work(part: slice) -> list[Encoded]:
            return self._encode(frames[part], rate_indices[part], reconstruct)

        return self._batched(len(frames), samples, BATCH_LIMIT, work)

    def _encode(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], reconstruct: bool
    ) -> list[Encoded]:
        """One batch."""
        began = time.perf_counter()
        indices = self.network.index_tensor(rate_indices)
        blocks = self.network.load([frame.planes for frame in frames])
        quantised = self._quantised(blocks, indices).integers_on_cpu()
        levels = self.network.levels(quantised.latents)
        analysed = time.perf_counter()
        # Before the entropy coding, so that a GPU synthesises while the CPU codes.
        decoded = self.network.reconstruct(quantised.latents, indices) if reconstruct else None
        synthesised = time.perf_counter()
        packets = [
            self._packet(frame, rate_index, quantised, levels[row], row)
            for row, (frame, rate_index) in enumerate(zip(frames, rate_indices, strict=True))
        ]
        coded = time.perf_counter()
        planes: Sequence[tuple[Plane, Plane, Plane] | None] = [None] * len(frames)
        if decoded is not None:
            planes = self.network.planes(decoded, indices, frames[0].height, frames[0].width)
        done = time.perf_counter()
        share = 1 / len(frames)
        seconds = {
            "analysis": (analysed - began) * share,
            "entropy": (coded - synthesised) * share,
            "synthesis": (synthesised - analysed + done - coded) * share,
        }
        return [
            Encoded(packet, picture, parts, seconds)
            for (packet, parts), picture in zip(packets, planes, strict=True)
        ]

    def decode(self, packet: Packet) -> tuple[Plane, Plane, Plane]:
        """Rebuild the planes of one packet."""

        def work(_: slice) -> list[tuple[Plane, Plane, Plane]]:
            latents, indices = self._latents(packet)
            return self.network.synthesise(latents, indices, packet.height, packet.width)

        return self._batches.run(1, 1, packet.width * packet.height, work)[0]

    def decode_batch(self, packets: Sequence[Packet]) -> list[tuple[Plane, Plane, Plane]]:
        """Rebuild several packets, on the CPU side by side."""
        samples = max((packet.width * packet.height for packet in packets), default=0)
        return side_by_side(min(self.lanes(samples), max(1, len(packets))), self.decode, packets)

    def check(self, packet: Packet) -> None:
        """Decode the latents and compare their check value; the synthesis is not needed."""
        self._latents(packet)

    def latent_levels(self, packet: Packet) -> npt.NDArray[np.int32]:
        """Decoded latents (M, ⌈height/16⌉, ⌈width/16⌉) as multiples of the means' step: the same on every machine.

        Raises as :meth:`decode` does.
        """
        return self.network.levels(self._latents(packet)[0][0])

    def block_bits(self, packet: Packet) -> npt.NDArray[np.float64]:
        """Bits of each 16×16 luma block, (⌈height/16⌉, ⌈width/16⌉): its latents', and its share of the hyper-latents'.

        Everything but the header and the 4 bytes that end the string. Raises as :meth:`decode` does.
        """
        bits = np.zeros(self.network.latent_size(packet.height, packet.width)[1:])
        self._latents(packet, bits)
        return bits

    def estimate_bits(self, frames: Sequence[Frame], rate_indices: Sequence[int]) -> npt.NDArray[np.float64]:
        """Bits of every frame (rows) at every rate index (columns), from the entropy model without coding."""
        pairs = [(row, index) for row in range(len(frames)) for index in rate_indices]
        samples = frames[0].y.size if frames else 0
        loaded = [self.network.load([frame.planes]) for frame in frames]

        def work(part: slice) -> list[float]:
            blocks = torch.cat([loaded[row] for row, _ in pairs[part]])
            strings = self.coded_strings(blocks, [index for _, index in pairs[part]])
            costs = [self.tables.cost_bits(symbols, tables) for symbols, tables, _ in strings]
            return [
                _packet_bits(frames[row], cost) for (row, _), cost in zip(pairs[part], costs, strict=True)
            ]

        bits = self._batched(len(pairs), samples, _cached_together(samples), work)
        return np.array(bits).reshape(len(frames), len(rate_indices))

    def _batched(self, count: int, samples: int, most: int, work: Callable[[slice], list[T]]) -> list[T]:
        """What ``work`` gives for slices of 0..count, pictures of so many luma samples.

        At most ``most`` at once, or what the device's memory holds; on the CPU what its cache holds, side by side.
        """
        if self.network.placement.device.type == "cpu":
            most = min(most, _cached_together(samples))
        lanes = min(self.lanes(samples), count)
        if lanes <= 1:
            return self._batches.run(count, most, samples, work)
        size = min(most, -(-count // lanes))
        parts = [slice(at, min(at + size, count)) for at in range(0, count, size)]
        return [one for results in side_by_side(lanes, work, parts) for one in results]

    def coded_strings(
        self, blocks: torch.Tensor, rate_indices: Sequence[int]
    ) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int16], int]]:
        """What is coded of each picture of a batch that the network has loaded, as :meth:`coded_string` gives it."""
        quantised = self._quantised(blocks, self.network.index_tensor(rate_indices)).integers_on_cpu()
        return [self.coded_string(quantised, row, index) for row, index in enumerate(rate_indices)]

    def _quantised(self, blocks: torch.Tensor, indices: torch.Tensor) -> Quantised:
        if self._refinement is not None:
            return self._refinement(blocks, indices)
        return self.network.quantise(self.network.analyse(blocks, indices), indices)

    def coded_string(
        self, quantised: Quantised, row: int, rate_index: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int16], int]:
        """What is coded of a row of a batch, its integers on the CPU: symbols, their tables, how many are of z."""
        hyper = quantised.hyper[row].numpy()
        symbols = quantised.symbols[row].numpy().ravel()
        used = quantised.tables[row].numpy()
        runs, tables = [hyper.ravel()], [self._hyper_tables(rate_index, hyper.shape)]
        for which in self._passes(used.shape):
            coded = coded_places(which, used)
            runs.append(symbols[coded])
            tables.append(used.ravel()[coded].astype(np.int16))
        return np.concatenate(runs), np.concatenate(tables), hyper.size

    def _packet(
        self, frame: Frame, rate_index: int, quantised: Quantised, levels: npt.NDArray[np.int32], row: int
    ) -> tuple[Packet, dict[str, int]]:
        symbols, tables, hyper_count = self.coded_string(quantised, row, rate_index)
        payload = encode(symbols, tables, self.tables)
        packet = Packet(
            model=self.identity,
            rate_index=rate_index,
            width=frame.width,
            height=frame.height,
            pts=frame.pts,
            duration=frame.duration,
            parts=(payload,),
            latent_check=_check_value(levels),
        )
        hyper = min(
            round(self.tables.cost_bits(symbols[:hyper_count], tables[:hyper_count])), 8 * len(payload)
        )
        header = 8 * (len(packet.to_bytes()) - len(payload))
        return packet, {"header": header, "hyper": hyper, "latent": 8 * len(payload) - hyper}

    def _latents(
        self, packet: Packet, ledger: npt.NDArray[np.float64] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decoded latents (1, M, h, w) and the rate index as a tensor; bits are added to ``ledger`` (h, w)."""
        if packet.model != self.identity:
            raise ModelError(
                f"the packet needs model {packet.model.hex()}, this is {self.name} {self.identity.hex()}: "
                "name the right weights with --weights"
            )
        if len(packet.parts) != 1:
            raise DamagedError(f"a {self.name} packet has one part, not {len(packet.parts)}")
        network = self.network
        indices = network.index_tensor([packet.rate_index])
        conditions = network.conditions(indices)
        decoder = Decoder(packet.parts[0], self.tables)
        hyper_shape = network.hyper_size(packet.height, packet.width)
        hyper_tables = self._hyper_tables(packet.rate_index, hyper_shape)
        hyper = _within(decoder.decode(hyper_tables), HYPER_LIMIT).reshape(1, *hyper_shape)
        shape = network.latent_size(packet.height, packet.width)
        features = network.features(hyper, conditions, *shape[1:])
        passes = self._passes(shape)
        mean, index = network.first(features, conditions)
        if ledger is not None:
            cost = self._cost(hyper.ravel(), hyper_tables).reshape(hyper_shape).sum(0)
            rows, columns = (np.arange(n) // HYPER_FACTOR for n in shape[1:])
            share = np.bincount(rows)[rows][:, None] * np.bincount(columns)[columns]
            ledger += cost[np.ix_(rows, columns)] / share
        latents = network.restore(mean, self._decode_pass(decoder, passes[0], index[0], ledger))
        if network.two_passes:
            mean, index = network.second(features, latents, conditions)
            symbols = self._decode_pass(decoder, passes[1], index[0], ledger)
            latents = network.restore(mean, symbols, latents)
        decoder.finish()
        if _check_value(network.levels(latents[0])) != packet.latent_check:
            raise LatentError(
                f"the packet is whole, but its latents are not the encoder's: the tables of {self.name} "
                f"{self.identity.hex()} are damaged, or this machine does not compute exactly"
            )
        return latents, indices

    def _decode_pass(
        self,
        decoder: Decoder,
        which: npt.NDArray[np.bool_],
        index: npt.NDArray[np.uint8],
        ledger: npt.NDArray[np.float64] | None,
    ) -> npt.NDArray[np.float32]:
        """Deviations from the means (1, M, h, w), zero where the pass codes nothing."""
        coded = coded_places(which, index)
        deviations = np.zeros(index.size, np.float32)
        tables = index.ravel()[coded].astype(np.int16)
        if self.network.config.trellis:
            values, tables = decoder.decode_in_turn(tables + np.int16(FIRST_TABLE), APART)
            deviations[coded] = restored(_within(values, SYMBOL_LIMIT), (tables - FIRST_TABLE) // APART)
        else:
            values = _within(decoder.decode(tables), SYMBOL_LIMIT)
            deviations[coded] = values
        if ledger is not None:
            cost = np.zeros(index.size)
            cost[coded] = self._cost(values, tables)
            ledger += cost.reshape(index.shape).sum(0)
        return deviations.reshape(1, *index.shape)

    def _cost(self, symbols: npt.NDArray[np.int32], tables: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
        """Bits of each symbol; escaped values count as their escape symbol alone."""
        cost: npt.NDArray[np.float64] = self.tables.entry_bits[self.tables.entries(symbols, tables)[0]]
        return cost

    def _hyper_tables(self, rate_index: int, shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
        return np.repeat(self.network.hyper_table[rate_index], shape[1] * shape[2])

    def _passes(self, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.bool_], ...]:
        channels, height, width = shape
        return pass_masks(channels, height, width, self.network.two_passes)


TRIED_AT_ONCE = 400_000
"""Luma samples, counted at each rate, up to which rates are tried in one batch: beyond it a CPU's cache does not hold
them, and one by one is as quick."""


def _cached_together(samples: int) -> int:
    """How many pictures of so many luma samples to work on in one batch on a CPU."""
    return max(1, min(BATCH_LIMIT, TRIED_AT_ONCE // max(1, samples)))


def _packet_bits(frame: Frame, cost: float) -> float:
    """Bits that the packet of a frame should have whose symbols cost so many by their tables."""
    payload = cost / 8 + OVERHEAD_BYTES
    return 8 * (payload + header_size(frame.width, frame.height, frame.pts, frame.duration, [round(payload)]))


def _within(symbols: npt.NDArray[np.int32], limit: float) -> npt.NDArray[np.int32]:
    """The same symbols; raises DamagedError for what no encoder writes and float32 would not hold."""
    if len(symbols) and not -limit <= symbols.min() <= symbols.max() <= limit:
        raise DamagedError(f"entropy-coded data is damaged: a value beyond ±{limit:.0f}")
    return symbols


def _check_value(levels: npt.NDArray[np.int32]) -> int:
    return zlib.crc32(np.ascontiguousarray(levels, "<i4").data)
