"""Start the `blocks` transform as a Karhunen-Loève codec: principal components of real blocks in the 1×1 layers.

Before the first training step the network is then an orthonormal block transform with the right quantiser
steps; from a random start the same point takes hours of training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.factorized import FactorizedModel
from maevid.model.prior import INDEX_GAIN, INDICES_PER_OCTAVE, SCALE_FLOOR, ParameterHead
from maevid.model.representation import INPUTS, sample_weights
from maevid.model.transforms import Analysis, Synthesis


def _principal_components(samples: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Leading eigenvectors (count, D) of the second moment of samples (n, D), and their root mean squares."""
    values, vectors = torch.linalg.eigh(samples.T @ samples / len(samples))
    order = torch.argsort(values, descending=True)[:count]
    return vectors[:, order].T, values[order].clamp_min(1e-12).sqrt()


@torch.no_grad()
def initialise(model: ModulatedAutoencoder, blocks: Tensor) -> None:
    """Set the 1×1 layers and the first scales from blocks (B, 96, h, w), samples in 0..1, h and w even."""
    n, m = model.config.channels, model.config.latents
    used = min(n, INPUTS)
    roots = sample_weights(model.config.plane_weights).double().sqrt()
    x = (blocks.double() - 0.5) * roots[:, None, None]

    components, _ = _principal_components(x.permute(0, 2, 3, 1).reshape(-1, INPUTS), used)
    analysis, synthesis = model.analysis, model.synthesis
    assert isinstance(analysis, Analysis)
    assert isinstance(synthesis, Synthesis)
    analysis.input.weight[:used] = (components * roots).float()
    analysis.input.weight[used:] *= 0.1
    synthesis.output.weight[:, :used] = (components.T / roots[:, None]).float()
    synthesis.output.weight[:, used:] = 0

    features = torch.einsum("oc,bchw->bohw", components, x)
    groups = F.pixel_unshuffle(features, 2)
    pairs, spread = _principal_components(groups.permute(0, 2, 3, 1).reshape(-1, 4 * used), m)
    analysis.down.weight.zero_()
    analysis.down.weight[:, : 4 * used] = pairs.float()
    synthesis.up.weight.normal_(0, 0.02)
    synthesis.up.weight[: 4 * used] = pairs.T.float()

    index = (torch.log2(spread / SCALE_FLOOR) * INDICES_PER_OCTAVE).float()
    if isinstance(model.entropy, FactorizedModel):
        model.entropy.scale.copy_(index)
        return
    heads = [model.entropy.head_1] + ([model.entropy.head_2] if model.entropy.two_passes else [])
    for head in heads:
        _set_first_scales(head, index)


def _set_first_scales(head: ParameterHead, index: Tensor) -> None:
    m = len(index)
    head.out.bias[:m] = 0
    head.out.bias[m:] = index / INDEX_GAIN
