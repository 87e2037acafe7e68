"""Multiply-accumulate operations of a network for each luma sample, counted while it codes a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maevid.bench.operators import OperatorHook
from maevid.model.network import Network
from maevid.model.representation import CHROMA_STEP, LUMA_STEP
from maevid.model.transforms import ALIGNMENT

SIDE = 128
"""Of the picture that is coded: whole latents and hyper-latents, so that no padding counts."""


@dataclass(frozen=True)
class Macs:
    """Operations a luma sample: the transforms, the hyper-analysis, and what predicts means and scales."""

    analysis: float
    hyper_analysis: float
    entropy: float
    synthesis: float

    @property
    def encode(self) -> float:
        """Of encoding, without rebuilding the picture."""
        return self.analysis + self.hyper_analysis + self.entropy

    @property
    def decode(self) -> float:
        """Of decoding."""
        return self.entropy + self.synthesis


def count_macs(network: Network) -> Macs:
    """Code a grey picture with the network and count matrix products and convolutions as they are run."""
    planes = tuple(np.full((SIDE // n, SIDE // n), 128, np.uint8) for n in (1, 2, 2))
    indices = network.index_tensor([128])
    blocks = network.load([(planes[0], planes[1], planes[2])])
    with OperatorHook() as analysis:
        latents = network.analyse(blocks, indices)
    with OperatorHook(network.entropy_parts) as quantise:
        quantised = network.quantise(latents, indices)
    conditions = network.conditions(indices)
    with OperatorHook(network.entropy_parts) as entropy:
        features = network.features(quantised.hyper.cpu().numpy(), conditions, *latents.shape[-2:])
        network.first(features, conditions)
        if network.two_passes:
            network.second(features, quantised.latents, conditions)
    with OperatorHook() as synthesis:
        network.synthesise(quantised.latents, indices, SIDE, SIDE)
    counts = [hook.work.total_macs / SIDE**2 for hook in (analysis, quantise, entropy, synthesis)]
    # The compiled loops have the linear predictor's four taps in them, for every second latent: no hook sees them.
    hidden = 2 * network.config.latents / ALIGNMENT**2 if network.fused and network.two_passes else 0.0
    edges = _edge_macs() if network.fused_transforms and network.config.lapped else 0.0
    return Macs(counts[0] + edges, counts[1] - counts[2], counts[2] + hidden, counts[3] + edges)


def _edge_macs() -> float:
    """What the loops over the edges of overlapping blocks multiply, each way, of a picture of :data:`SIDE`."""
    planes = ((SIDE, LUMA_STEP), (SIDE // 2, CHROMA_STEP), (SIDE // 2, CHROMA_STEP))
    return sum(2 * side * (side // (2 * k) - 1) * k**2 for side, k in planes) / SIDE**2
