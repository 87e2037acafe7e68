"""The time of each stage of the MAE codec, and the network's speed beside that of a plain matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor

from maevid.bench.macs import Macs, count_macs
from maevid.bench.operators import OperatorHook
from maevid.codec.mae import MaeCodec
from maevid.model.network import Network
from maevid.video.frame import Frame

T = TypeVar("T")

PEAK_SIDE = 1024
"""Of the square matrices whose product is the machine's peak: large enough to be limited by arithmetic alone."""
_PRODUCTS = 4


@dataclass(frozen=True)
class NetworkPart:
    """One part of the network on one frame.

    ``seconds`` in all; ``pointwise_seconds`` in matrix products and 1×1 convolutions, ``spatial_seconds`` in other
    convolutions. ``macs`` are multiply-accumulate operations, ``pointwise_macs`` those of the former. ``precision``
    is that of the matrix products.
    """

    name: str
    precision: str
    seconds: float
    pointwise_seconds: float
    spatial_seconds: float
    macs: float
    pointwise_macs: float

    @property
    def gmacs(self) -> float:
        """Billions of operations a second, all time counted."""
        return self.macs / self.seconds / 1e9

    @property
    def pointwise_gmacs(self) -> float:
        """The same of matrix products and 1×1 convolutions in the time that they take."""
        return self.pointwise_macs / self.pointwise_seconds / 1e9


@dataclass(frozen=True)
class StageTimes:
    """Medians over the rounds, in seconds a frame; peaks in billions of operations a second by precision.

    ``encode`` and ``decode`` split the time of a frame by stage, in order. ``rebuild`` is the synthesis that an
    encoder adds for PSNR.
    """

    macs: Macs
    peaks: dict[str, float]
    parts: list[NetworkPart]
    encode: dict[str, float]
    decode: dict[str, float]
    rebuild: float

    @property
    def besides_network(self) -> float:
        """Share of the encode time outside matrix products and convolutions, 0..1."""
        inside = sum(part.pointwise_seconds + part.spatial_seconds for part in self.parts[:2])
        return 1 - inside / sum(self.encode.values())


def stage_times(codec: MaeCodec, frame: Frame, rate_index: int, repeat: int) -> StageTimes:
    """Code one frame ``repeat`` times, stage by stage, matrix products in between: all see the same machine."""
    rounds = [_round(codec, frame, rate_index) for _ in range(repeat + 1)][1:]
    seconds = {name: median(one[name] for one in rounds) for name in rounds[0]}
    parts = _parts(codec.network, frame, rate_index, seconds, repeat)
    networks = seconds["decode networks"]
    return StageTimes(
        macs=count_macs(codec.network),
        peaks={name: PEAK_SIDE**3 / seconds[name] / 1e9 for name in _peaks(codec.network)},
        parts=parts,
        encode={name: seconds[name] for name in ("conversion", "analysis", "entropy networks", "coding")},
        decode={
            "entropy networks": networks,
            "coding": max(0.0, seconds["check"] - networks),
            "synthesis": max(0.0, seconds["synthesis"] - seconds["post filter"]),
            "post filter": seconds["post filter"],
        },
        rebuild=seconds["synthesis"],
    )


def _round(codec: MaeCodec, frame: Frame, rate_index: int) -> dict[str, float]:
    network = codec.network
    clock = _Clock(network)
    for name, kind in _peaks(network).items():
        matrix = torch.ones(PEAK_SIDE, PEAK_SIDE, dtype=kind, device=network.placement.device)
        product = torch._int_mm if kind == torch.int8 else torch.mm
        with torch.inference_mode():
            clock(name, partial(_multiply, product, matrix))
        clock.seconds[name] /= _PRODUCTS
    indices = network.index_tensor([rate_index])
    blocks = clock("conversion", lambda: network.load([frame.planes]))
    latents = clock("analysis", lambda: network.analyse(blocks, indices))
    quantised = clock("entropy networks", lambda: network.quantise(latents, indices))
    size = frame.height, frame.width
    pictures = clock("synthesis", lambda: network.synthesise(quantised.latents, indices, *size))
    # Filtered once more, which takes as long.
    clock("post filter", lambda: network.filtered(pictures, indices))
    encoded = codec.encode(frame, rate_index)
    clock.seconds["coding"] = encoded.stage_seconds["entropy"]
    clock("check", lambda: codec.check(encoded.packet))
    hyper, conditions = quantised.hyper.cpu().numpy(), network.conditions(indices)

    def predict() -> None:
        features = network.features(hyper, conditions, *latents.shape[-2:])
        network.first(features, conditions)
        if network.two_passes:
            network.second(features, quantised.latents, conditions)

    clock("decode networks", predict)
    return clock.seconds


def _multiply(product: Callable[[Tensor, Tensor], Tensor], matrix: Tensor) -> None:
    for _ in range(_PRODUCTS):
        product(matrix, matrix)


def _parts(
    network: Network, frame: Frame, rate_index: int, seconds: dict[str, float], repeat: int
) -> list[NetworkPart]:
    """Shares of the operators under the hook, of the time without it: the hook has a cost of its own."""
    indices = network.index_tensor([rate_index])
    blocks = network.load([frame.planes])
    latents = network.analyse(blocks, indices)
    decoded = network.quantise(latents, indices).latents
    transforms = str(network.placement.dtype).removeprefix("torch.")
    works: list[tuple[str, str, Callable[[], object]]] = [
        ("analysis", transforms, lambda: network.analyse(blocks, indices)),
        ("entropy networks", network.entropy_precision, lambda: network.quantise(latents, indices)),
        ("synthesis", transforms, lambda: network.synthesise(decoded, indices, frame.height, frame.width)),
    ]
    shares: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in works}
    counts: dict[str, dict[str, int]] = {}
    for _ in range(repeat):
        for name, _, work in works:
            began = time.perf_counter()
            with OperatorHook(network.entropy_parts) as hook:
                work()
            whole = time.perf_counter() - began
            shares[name].append({kind: s / whole for kind, s in hook.work.seconds.items()})
            counts[name] = hook.work.macs
    return [
        NetworkPart(
            name=name,
            precision=precision,
            seconds=seconds[name],
            pointwise_seconds=seconds[name] * median(share["pointwise"] for share in shares[name]),
            spatial_seconds=seconds[name] * median(share["spatial"] for share in shares[name]),
            macs=sum(counts[name].values()),
            pointwise_macs=counts[name]["pointwise"],
        )
        for name, precision, _ in works
    ]


def _peaks(network: Network) -> dict[str, torch.dtype]:
    """Precisions whose peak is of interest: those of the transforms' and of the entropy networks' products."""
    kinds = (network.placement.dtype, getattr(torch, network.entropy_precision))
    return {str(kind).removeprefix("torch."): kind for kind in kinds}


class _Clock:
    """Wall time of pieces of work by name; a GPU is waited for."""

    def __init__(self, network: Network) -> None:
        self.seconds: dict[str, float] = {}
        self._gpu = network.placement.device.type == "cuda"

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = work()
        if self._gpu:
            torch.cuda.synchronize()
        self.seconds[name] = time.perf_counter() - began
        return result
