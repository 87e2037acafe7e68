"""Blocks that overlap: undone exactly, the same in the compiled loops, and of use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from maevid.errors import ModelError
from maevid.model import fused
from maevid.model.config import CONFIGS, ModelConfig
from maevid.model.lapping import Lapping, forward_changes, inverse_changes, overlapped
from maevid.model.representation import blocks_to_planes, planes_to_blocks
from maevid.video.frame import Plane

# Luma samples; the last is a size that no block fits.
SIZES = ((16, 16), (16, 48), (64, 16), (96, 64), (38, 70))


@pytest.fixture(scope="module")
def table() -> Tensor:
    """Of two λ, of transforms that are far from nothing."""
    torch.manual_seed(1)
    lapping = Lapping()
    for condition in (lapping.condition_luma, lapping.condition_chroma):
        torch.nn.init.normal_(condition.out.weight, std=0.03)
    with torch.inference_mode():
        return lapping(torch.tensor([-0.4, 0.9]))


def pictures(height: int, width: int) -> list[tuple[Plane, Plane, Plane]]:
    random = np.random.default_rng(height * width)
    half = -(-height // 2), -(-width // 2)

    def picture() -> tuple[Plane, Plane, Plane]:
        y, u, v = (random.integers(0, 256, size, np.uint8) for size in ((height, width), half, half))
        return y, u, v

    return [picture(), picture()]


def blocks(height: int, width: int) -> Tensor:
    torch.manual_seed(height + width)
    return (torch.rand(2, 96, -(-height // 16) * 2, -(-width // 16) * 2) - 0.5).bfloat16()


@pytest.mark.parametrize("size", SIZES)
def test_what_was_overlapped_comes_apart(table: Tensor, size: tuple[int, int]) -> None:
    source = blocks(*size).float()
    together = overlapped(source, forward_changes(table))
    assert (overlapped(together, inverse_changes(table)) - source).abs().max() < 1e-6
    changed = (together - source).abs().amax((0, 1)) > 0
    # Those in the corners of the picture, and all that have no neighbour across an edge, stay.
    rows, columns = (np.arange(n) % (n - 1) > 0 for n in changed.shape)
    np.testing.assert_array_equal(changed, rows[:, None] | columns)


def test_a_new_one_changes_nothing_and_flat_pictures_stay_flat(table: Tensor) -> None:
    source = blocks(64, 64).float()
    new = Lapping()(torch.tensor([-1.0, 1.0]))
    assert torch.equal(overlapped(source, forward_changes(new)), source)
    flat = torch.full_like(source, 0.3)
    assert (overlapped(flat, forward_changes(table)) - flat).abs().max() < 1e-6


def test_a_sample_is_mixed_with_its_neighbours_across_the_edge_only(table: Tensor) -> None:
    y = torch.zeros(2, 1, 64, 64)
    y[:, :, 33, 31] = 1
    chroma = torch.zeros(2, 1, 32, 32)
    out, u, v = blocks_to_planes(overlapped(planes_to_blocks(y, chroma, chroma), forward_changes(table)))
    rows, columns = np.nonzero(np.abs(out[0, 0].numpy()) > 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 39, 24, 39)
    assert not u.any()
    assert not v.any()


@pytest.mark.skipif(not fused.available(), reason="Numba does not work here, so nothing is fused")
@pytest.mark.parametrize("size", SIZES)
def test_compiled_loops_do_the_same(table: Tensor, size: tuple[int, int]) -> None:
    from maevid.model.fused import laps, planes

    frames = pictures(*size)
    source = planes.load(frames, -(-size[0] // 16) * 2, -(-size[1] // 16) * 2, levels=True)
    wanted = overlapped(source.float() / 255, forward_changes(table))
    got = laps.lap(source, table)
    # Half of a step of bfloat16 at up to 2.
    assert (got.float() - wanted).abs().max() <= 1 / 256
    for one, two in zip(laps.levels(wanted.bfloat16(), table, *size), frames, strict=True):
        for ours, theirs in zip(one, two, strict=True):
            assert ours.shape == theirs.shape
            # What bfloat16 rounds before and behind the change.
            assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_only_blocks_overlap() -> None:
    assert CONFIGS["mae"].lapped
    assert CONFIGS["mae-fast"].lapped
    with pytest.raises(ModelError, match="conv-gdn has no blocks"):
        ModelConfig(transform="conv-gdn", lapped=True)
