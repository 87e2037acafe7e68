"""Latents mended by what the decoder makes of them: the encoder's search, in place of training for one picture.

Analysis chooses latents before it knows how they will be rounded. Here the synthesis and the post filter run on the
rounded ones, ŷ; what is wrong with the picture goes back through the synthesis, and of each latent's own error H/2·e²
(in bits; H = 12/ln 2 where the step is best for λ, see ModulatedAutoencoder.log_step_inverse) the least lies at
ŷ - g/H, g the derivative. The latents go a part of the way there, since all of them go at once, and a smaller part
back to where analysis put them, where they are cheap; then they are rounded again, around new means. The hyper-latents
stay. What the picture changes of the post filter (:mod:`maevid.model.adjusting`) is fitted in every other round.
Newton's method with a fixed Hessian; compare Campos et al., "Content Adaptive Optimization for Neural Image
Compression", CVPR Workshops 2019. The decoder knows nothing of the search.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maevid.errors import ModelError
from maevid.model.adjusting import Adjuster
from maevid.model.feedback import synthesis_with_feedback
from maevid.model.network import Network, Quantised
from maevid.model.post_filter import NOT_ADJUSTED
from maevid.model.prior import EntropyModel
from maevid.model.transforms import Synthesis

CURVATURE = 12 / math.log(2)
TOWARDS, BACK = 0.3, 0.1
"""Parts of the ways to the least error and back to the analysis's latents, chosen with µ on held-out pictures."""
RATE_WEIGHT, TRELLIS_RATE_WEIGHT = 0.06, 0.09
"""µ of the rounding (:mod:`maevid.model.quantiser`) and of the search for symbols (:mod:`maevid.model.trellis`): more
than without refinement, for no longer are the latents what the network was trained to give."""


class Refinement:
    """Refines what a network quantises in ``rounds`` rounds, 1 or more, with the post filter as ``adjuster`` fits it.

    Raises ModelError for networks of convolutions, or of a prior without hyper-latents.
    """

    def __init__(self, network: Network, rounds: int, adjuster: Adjuster | None = None) -> None:
        model = network.model
        if not isinstance(model.synthesis, Synthesis) or not isinstance(model.entropy, EntropyModel):
            raise ModelError(f"model {network.config.name} cannot be refined: leave out --effort")
        self.network, self.rounds, self.adjuster = network, rounds, adjuster
        self._synthesis = model.synthesis
        self._rounding = network.rounding(TRELLIS_RATE_WEIGHT if network.config.trellis else RATE_WEIGHT)
        self._weights = model.representation.weights(network.config.plane_weights)[:, None, None].to(
            network.placement.device
        )

    @torch.inference_mode()
    def __call__(self, blocks: Tensor, rate_indices: Tensor) -> Quantised:
        """What :meth:`Network.load` gives, of pictures at these rate indices, quantised."""
        network = self.network
        source, first = network.samples(blocks), network.analyse(blocks, rate_indices).float()
        gains = network.gains(rate_indices)
        lambdas = [network.config.lam(index) for index in rate_indices.tolist()]
        pull = torch.tensor([2 * 255**2 / CURVATURE * lam for lam in lambdas], device=source.device)
        strength = pull[:, None, None, None] * self._weights
        originals = network.whole(source - 0.5, rate_indices)
        adjustments = [NOT_ADJUSTED] * len(lambdas)
        latents, rounded = first, network.quantiser(first, rate_indices, self._rounding)
        for number in range(self.rounds):
            found = rounded(latents).latents.float()
            with network.autocast():
                decoded, back = synthesis_with_feedback(self._synthesis, found, gains)
                pictures = network.whole(decoded, rate_indices)
                if self.adjuster is not None and number % 2 == 0:
                    triples = zip(originals, pictures, rate_indices.tolist(), strict=True)
                    adjustments = [self.adjuster(*triple, final=False).adjustments for triple in triples]
                finished = network.samples_of(network.filtered(pictures, rate_indices, adjustments))
                change = back((finished - source) * strength)
            latents = latents + TOWARDS * (found - change - latents) + BACK * (first - latents)
        return rounded(latents)
