"""The MAE as a frame codec: network, entropy coder and packet put together.

The packet's first part is one coded string: the hyper-latents, then the latents of the first pass, then those
of the second, each in order channel, row, column. The table of a hyper-latent is given by rate index and
channel, that of a latent by its scale index and, where there are two quantisers in turn, the state; latents of a scale
index below 4 are not in the string. Where there is a second part, the picture adjusts the post filter, and the string
goes on (:mod:`maevid.model.adjustment`).
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
from maevid.model.adjusting import Adjusted, Adjuster
from maevid.model.adjustment import adjustment, forms_of, part_of, table_indexes
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import RATE_INDICES
from maevid.model.device import choose_placement
from maevid.model.integer import BATCH_LIMIT
from maevid.model.network import Network, Quantised
from maevid.model.passes import coded_places, pass_masks
from maevid.model.post_filter import NOT_ADJUSTED, Adjustments
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
        self.tables = self.network.tables
        post_filter = self.network.post_filter
        self._adjuster = None
        if options.effort and post_filter is not None:
            self._adjuster = Adjuster(post_filter, self.tables, self.network.config)
        self._refinement = None
        if options.effort:
            self._refinement = Refinement(self.network, options.effort, self._adjuster)
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
        adjusted = self._adjusted(frames, rate_indices, quantised.latents)
        # Before the entropy coding, so that a GPU synthesises while the CPU codes.
        decoded = None
        if reconstruct and self._adjuster is None:
            decoded = self.network.reconstruct(quantised.latents, indices)
        synthesised = time.perf_counter()
        packets = [
            self._packet(frame, rate_index, quantised, levels[row], row, adjusted[row])
            for row, (frame, rate_index) in enumerate(zip(frames, rate_indices, strict=True))
        ]
        coded = time.perf_counter()
        planes = [one.planes if one is not None and reconstruct else None for one in adjusted]
        if decoded is not None:
            pictures = self.network.unfiltered(decoded, indices, frames[0].height, frames[0].width)
            planes = list(self.network.filtered(pictures, indices))
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
            latents, indices, adjustments = self._latents(packet)
            size = packet.height, packet.width
            return self.network.synthesise(latents, indices, *size, [adjustments])

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

        Everything but the header, what adjusts the post filter, and the 4 bytes that end the string. Raises as
        :meth:`decode` does.
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
            rows, rates = zip(*pairs[part], strict=True)
            blocks = torch.cat([loaded[row] for row in rows])
            quantised = self._quantised(blocks, self.network.index_tensor(rates)).integers_on_cpu()
            adjusted = self._adjusted([frames[row] for row in rows], rates, quantised.latents)
            bits = []
            for number, (row, rate, found) in enumerate(zip(rows, rates, adjusted, strict=True)):
                symbols, tables, _ = self.coded_string(quantised, number, rate, found)
                bits.append(_packet_bits(frames[row], self.tables.cost_bits(symbols, tables), _part(found)))
            return bits

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

    def _adjusted(
        self, frames: Sequence[Frame], rate_indices: Sequence[int], latents: torch.Tensor
    ) -> Sequence[Adjusted | None]:
        """For each frame what its packet adjusts of the post filter, None where this codec does not try."""
        if self._adjuster is None:
            return [None] * len(frames)
        indices = self.network.index_tensor(rate_indices)
        decoded = self.network.reconstruct(latents, indices)
        pictures = self.network.unfiltered(decoded, indices, frames[0].height, frames[0].width)
        return [
            self._adjuster(frame.planes, planes, rate_index)
            for frame, planes, rate_index in zip(frames, pictures, rate_indices, strict=True)
        ]

    def coded_string(
        self, quantised: Quantised, row: int, rate_index: int, adjusted: Adjusted | None = None
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
        if adjusted is not None:
            runs.append(adjusted.symbols)
            tables.append(adjusted.tables)
        return np.concatenate(runs), np.concatenate(tables), hyper.size

    def _packet(
        self,
        frame: Frame,
        rate_index: int,
        quantised: Quantised,
        levels: npt.NDArray[np.int32],
        row: int,
        adjusted: Adjusted | None,
    ) -> tuple[Packet, dict[str, int]]:
        symbols, tables, hyper_count = self.coded_string(quantised, row, rate_index, adjusted)
        payload = encode(symbols, tables, self.tables)
        packet = Packet(
            model=self.identity,
            rate_index=rate_index,
            width=frame.width,
            height=frame.height,
            pts=frame.pts,
            duration=frame.duration,
            parts=(payload, *_part(adjusted)),
            latent_check=_check_value(levels),
        )
        hyper = min(
            round(self.tables.cost_bits(symbols[:hyper_count], tables[:hyper_count])), 8 * len(payload)
        )
        payload_bits = 8 * len(payload)
        bits = {
            "header": 8 * (len(packet.to_bytes()) - sum(map(len, packet.parts))),
            "hyper": hyper,
            "latent": payload_bits - hyper,
        }
        if adjusted is not None and len(packet.parts) > 1:
            coded = round(self.tables.cost_bits(adjusted.symbols, adjusted.tables))
            coded = min(coded, bits["latent"])
            bits["latent"] -= coded
            bits["filter"] = coded + 8 * len(packet.parts[1])
        return packet, bits

    def _latents(
        self, packet: Packet, ledger: npt.NDArray[np.float64] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, Adjustments]:
        """Decoded latents (1, M, h, w), the rate index as a tensor, and what is adjusted.

        The latents' bits are added to ``ledger`` (h, w).
        """
        if packet.model != self.identity:
            raise ModelError(
                f"the packet needs model {packet.model.hex()}, this is {self.name} {self.identity.hex()}: "
                "name the right weights with --weights"
            )
        network = self.network
        most = 1 if network.post_filter is None else 2
        if len(packet.parts) > most:
            raise DamagedError(
                f"a {self.name} packet has {'one part' if most == 1 else 'one or two parts'}, not {len(packet.parts)}"
            )
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
        adjustments = self._adjustments(decoder, packet.parts[1]) if len(packet.parts) > 1 else NOT_ADJUSTED
        decoder.finish()
        if _check_value(network.levels(latents[0])) != packet.latent_check:
            raise LatentError(
                f"the packet is whole, but its latents are not the encoder's: the tables of {self.name} "
                f"{self.identity.hex()} are damaged, or this machine does not compute exactly"
            )
        return latents, indices, adjustments

    def _adjustments(self, decoder: Decoder, part: bytes) -> Adjustments:
        """What a packet's second part names, and the rest of its string tells."""
        assert self.network.post_filter is not None
        y, u, v = (
            adjustment(form, decoder.decode(table_indexes(form, count)), count)
            for form, count in zip(forms_of(part), self.network.post_filter.counts, strict=True)
        )
        return y, u, v

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


def _part(adjusted: Adjusted | None) -> tuple[bytes, ...]:
    """The second part of a packet that adjusts the post filter, nothing of another."""
    return () if adjusted is None or not any(adjusted.forms) else (part_of(adjusted.forms),)


def _packet_bits(frame: Frame, cost: float, rest: Sequence[bytes]) -> float:
    """Bits of the packet of a frame whose symbols cost so many by their tables, with the parts after its string."""
    payload = cost / 8 + OVERHEAD_BYTES
    sizes = [round(payload), *map(len, rest)]
    header = header_size(frame.width, frame.height, frame.pts, frame.duration, sizes)
    return 8 * (payload + header + sum(sizes[1:]))


def _within(symbols: npt.NDArray[np.int32], limit: float) -> npt.NDArray[np.int32]:
    """The same symbols; raises DamagedError for what no encoder writes and float32 would not hold."""
    if len(symbols) and not -limit <= symbols.min() <= symbols.max() <= limit:
        raise DamagedError(f"entropy-coded data is damaged: a value beyond ±{limit:.0f}")
    return symbols


def _check_value(levels: npt.NDArray[np.int32]) -> int:
    return zlib.crc32(np.ascontiguousarray(levels, "<i4").data)
