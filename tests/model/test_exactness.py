"""The entropy networks compute exactly: bounded sums, grids, and the same integers in any arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maevid.codec.mae import WEIGHTS
from maevid.model.checkpoint import Checkpoint
from maevid.model.integer import (
    ACTIVATION_STEP,
    EXACT_SUM_LIMIT,
    OFFSET_STEP,
    IntegerDepthwise,
    IntegerPointwise,
    LinearPredictor,
    compress_magnitude,
    weight_exponents,
)

SHIPPED = sorted(WEIGHTS.glob("*.safetensors"))


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda p: p.stem)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return Checkpoint.load(request.param)


def test_every_sum_of_every_layer_stays_exact(checkpoint: Checkpoint) -> None:
    """From the stored integers themselves: no partial sum of any order can leave float32's integers."""
    arrays = checkpoint.arrays
    offsets = max(int(np.abs(arrays[f"offset.{n}"]).max()) for n in ("hyper", "first", "second"))
    layers = [n.removesuffix(".exponent") for n in arrays if n.endswith(".exponent")]
    assert len(layers) >= 10
    for layer in layers:
        weight = np.abs(arrays[f"{layer}.weight"].astype(np.int64)).reshape(len(arrays[f"{layer}.weight"]), -1)
        bias = np.abs(arrays[f"{layer}.bias"].astype(np.int64))
        # What a rate index adds counts 1/64; a sum counts 2^-(4 + exponent).
        unit = 2.0 ** -(4 + arrays[f"{layer}.exponent"].astype(np.int64))
        added = offsets * OFFSET_STEP / unit
        finest = np.minimum(unit, OFFSET_STEP)
        worst = ((weight.sum(1) * 128 + bias + added) * unit / finest).max()
        # The feature sum of the second pass adds one more activation before rounding.
        assert worst + 128 * ACTIVATION_STEP / finest.min() < EXACT_SUM_LIMIT, layer
    predictor = np.abs(arrays["int.entropy.predictor.weight"].astype(np.int64)).reshape(-1, 9).sum(1).max()
    limit = LinearPredictor.INPUT_LIMIT / LinearPredictor.INPUT_STEP
    assert predictor * limit < EXACT_SUM_LIMIT


def test_largest_sum_agrees_with_a_direct_count() -> None:
    torch.manual_seed(0)
    layer = IntegerPointwise(200, 7, gain=3.0)
    with torch.no_grad():
        layer.bias.uniform_(-2, 2)
    weight, bias = layer.quantised()
    unit = ACTIVATION_STEP * torch.exp2(-weight_exponents(layer.weight))
    direct = (weight.abs().sum(1) * 8 + bias.abs()) / unit.clamp_max(OFFSET_STEP)
    assert layer.largest_sum() == int(torch.ceil(direct.max()))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("onednn", [True, False])
def test_layers_equal_integer_arithmetic(threads: int, layout: torch.memory_format, onednn: bool) -> None:
    """The float32 layers give what float64 gives, whatever kernel, layout, thread count or order of sums."""
    torch.manual_seed(1)
    pointwise, depthwise = IntegerPointwise(192, 96, gain=2.0), IntegerDepthwise(192)
    for layer in (pointwise, depthwise):
        layer.exact = True
    levels = torch.randint(-128, 128, (2, 192, 11, 13))
    x = (levels * ACTIVATION_STEP).to(memory_format=layout)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.mkldnn.flags(enabled=onednn), torch.inference_mode():
            got_pointwise, got_depthwise = pointwise(x), depthwise(x)
            order = torch.randperm(192)
            weight, bias = pointwise.quantised()
            permuted = F.conv2d(x[:, order], weight[:, order, None, None], bias)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(got_pointwise, permuted)

    w, b = (t.detach().double() for t in pointwise.quantised())
    exact = torch.einsum("oc,bchw->bohw", w, x.double()) + b[:, None, None]
    assert torch.equal(got_pointwise.double(), exact)
    w, b = (t.detach().double() for t in depthwise.quantised())
    assert torch.equal(got_depthwise.double(), F.conv2d(x.double(), w, b, padding=1, groups=192))


def test_quantising_twice_changes_nothing(checkpoint: Checkpoint) -> None:
    """A loaded layer lies on its grid: training on from a model file starts from the very same integers."""
    model = checkpoint.model()
    layers = [m for m in model.modules() if isinstance(m, IntegerPointwise | IntegerDepthwise)]
    assert layers
    for layer in layers:
        weight, bias = layer.quantised()
        assert torch.equal(weight, layer.weight)
        assert torch.equal(bias, layer.bias)


def test_a_model_survives_saving(checkpoint: Checkpoint, tmp_path) -> None:
    again = Checkpoint.from_model(checkpoint.model(), checkpoint.notes)
    # Bar the λ tables, which come from half-precision weights the second time.
    for name in (n for n in checkpoint.arrays if not n.startswith("offset.")):
        assert np.array_equal(again.arrays[name], checkpoint.arrays[name]), name
    checkpoint.save(tmp_path / "m.safetensors")
    assert Checkpoint.load(tmp_path / "m.safetensors").sha256 == checkpoint.sha256


def test_compress_magnitude_is_log2_at_powers_of_two() -> None:
    x = torch.tensor([0.0, 1.0, -1.0, 3.0, 7.0, -255.0, 2.0, 0.0625])
    expected = torch.tensor([0.0, 1.0, -1.0, 2.0, 3.0, -8.0, 1.5, 0.0625])
    assert torch.equal(compress_magnitude(x), expected)
