"""The entropy networks compute exactly: bounded sums, grids, and the same integers in any arithmetic."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from maevid.codec.mae import WEIGHTS
from maevid.errors import ModelError
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.bounds import largest_sums
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import CONFIGS
from maevid.model.integer import (
    ACTIVATION_LIMIT,
    EXACT_SUM_LIMIT,
    IntegerDepthwise,
    IntegerPointwise,
    LinearPredictor,
    clamp_inward,
    compress_magnitude,
    leaky,
    round_to,
)

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("mae*/golden.safetensors"))
STEPS = [2.0**-4, 2.0**-5]
SHIPPED = [*sorted(WEIGHTS.glob("*.safetensors")), *GOLDEN]


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda p: p.parent.name)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return Checkpoint.load(request.param)


LAYERS = ["up_1", "spatial_1", "up_2", "spatial_2", "context_spatial", "context_mix"] + [
    f"head_{number}.{layer}" for number in (1, 2) for layer in ("hidden", "out")
]


def test_every_sum_of_every_layer_stays_exact(checkpoint: Checkpoint) -> None:
    """From the stored integers themselves: no partial sum of any order can leave float32's integers."""
    sums = largest_sums(checkpoint.config, checkpoint.arrays)
    assert set(sums) == {*LAYERS, "predictor"}
    assert 0 < min(sums.values()) < max(sums.values()) < EXACT_SUM_LIMIT


@pytest.mark.parametrize("layer", ["up_1", "up_2", "context_mix", "head_1.hidden", "head_2.out"])
def test_the_bound_holds_for_the_worst_inputs(checkpoint: Checkpoint, layer: str) -> None:
    """The inputs that make each output largest reach the bound, but for what is added after the products."""
    model = checkpoint.model()
    module = model.entropy.get_submodule(layer)
    weight, bias = (t.detach().double() for t in (module.weight, module.bias))
    signs = torch.where(weight * torch.sign(bias)[:, None] >= 0, 1.0, -1.0)
    step = checkpoint.config.activation_step
    inputs = torch.where(signs > 0, ACTIVATION_LIMIT - step, -ACTIVATION_LIMIT)
    reached = ((weight * inputs).sum(1) + bias).abs()
    finest = step * 2.0 ** -checkpoint.arrays[f"int.entropy.{layer}.exponent"].astype(np.float64)
    largest = float((reached / torch.from_numpy(finest)).max())
    bound = largest_sums(checkpoint.config, checkpoint.arrays)[layer]
    assert largest <= bound
    # The output layers are bounded with what a rate index adds, in full.
    assert layer == "head_2.out" or bound < 1.3 * largest + 2**16
    # And float32 adds them up exactly.
    out = module(inputs.float().T[None, :, None].contiguous())[0, :, 0]
    assert torch.equal(out.diagonal().abs().double(), reached)


@pytest.mark.parametrize("layer", LAYERS)
def test_weights_that_would_overflow_are_refused(checkpoint: Checkpoint, layer: str, tmp_path: Path) -> None:
    name = f"int.entropy.{layer}.bias"
    bias = checkpoint.arrays[name].copy()
    bias[-1] = EXACT_SUM_LIMIT
    with pytest.raises(ModelError, match=re.escape(f"layer {layer} can reach")):
        Checkpoint(checkpoint.config, {**checkpoint.arrays, name: bias}, {})
    # The same through a file made by another program.
    metadata = {"format": "maevid-model-1", "config": json.dumps(checkpoint.config.to_dict())}
    save_file({**checkpoint.arrays, name: bias}, tmp_path / "forged.safetensors", metadata)
    with pytest.raises(ModelError, match="not exact"):
        Checkpoint.load(tmp_path / "forged.safetensors")


@pytest.mark.parametrize(
    ("offset", "layer"),
    [
        ("hyper", "up_1"),
        ("first", "head_1.hidden"),
        ("second", "head_2.hidden"),
        ("scale_index", "head_1.out"),
    ],
)
def test_what_a_rate_index_adds_counts_too(checkpoint: Checkpoint, offset: str, layer: str) -> None:
    rows = checkpoint.arrays[f"offset.{offset}"].copy()
    rows[200, 0] = -(2**24)
    with pytest.raises(ModelError, match=re.escape(layer)):
        Checkpoint(checkpoint.config, {**checkpoint.arrays, f"offset.{offset}": rows}, {})


def test_a_network_that_has_grown_too_far_is_not_exported(checkpoint: Checkpoint) -> None:
    model = checkpoint.model().thaw()
    with torch.no_grad():
        model.entropy.head_1.hidden.bias[3] = 1e6
    with pytest.raises(ModelError, match=re.escape("head_1.hidden")):
        Checkpoint.from_model(model)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("int.entropy.up_1.weight", lambda a: a.astype(np.float32)),
        ("int.entropy.up_1.weight", lambda a: a[:, :-1]),
        ("int.entropy.spatial_1.exponent", lambda a: a + 20),
        ("int.entropy.spatial_1.bias", lambda a: None),
        ("int.entropy.predictor.weight", lambda a: np.full_like(a, 65)),
        ("offset.hyper", lambda a: a[:100]),
        ("offset.hyper_index", lambda a: a + 60),
        ("offset.hyper_index", lambda a: a - 60),
        ("tables.cumulative", lambda a: a + 1),
    ],
)
def test_integers_of_another_kind_are_refused(checkpoint: Checkpoint, name: str, change) -> None:
    changed = change(checkpoint.arrays[name])
    arrays = {k: v for k, v in checkpoint.arrays.items() if k != name}
    with pytest.raises(ModelError):
        Checkpoint(checkpoint.config, arrays if changed is None else {**arrays, name: changed}, {}).tables()


@pytest.mark.parametrize("step", STEPS)
def test_winograd_is_exact_within_the_bound(step: float) -> None:
    """ARM builds of PyTorch compute 3×3 depthwise convolutions with F(2×2, 3×3): here it is, in float32."""
    torch.manual_seed(2)
    layer = IntegerDepthwise(64, step)
    with torch.no_grad():
        layer.weight.uniform_(-1, 1).sign_().mul_(127 / 64)
        layer.weight[:, :, 1, 1] *= torch.rand(64, 1)
        layer.bias.uniform_(-8, 8)
    weight, bias = (t.detach() for t in layer.quantised())
    x = torch.where(torch.rand(1, 64, 16, 16) < 0.5, -ACTIVATION_LIMIT, ACTIVATION_LIMIT - step)
    inputs = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    kernel = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    output = torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]])
    tiles = F.pad(x, (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2)
    products = (inputs @ tiles @ inputs.T) * (kernel @ weight @ kernel.T)[None, :, 0, None, None]
    blocks = output @ products @ output.T
    got = blocks.permute(0, 1, 2, 4, 3, 5).reshape(1, 64, 16, 16) + bias[:, None, None]
    assert torch.equal(
        got.double(), F.conv2d(x.double(), weight.double(), bias.double(), padding=1, groups=64)
    )


def test_the_predictor_needs_eight_bits_of_its_factors() -> None:
    """Its products survive bfloat16, hence TF32 too, at the ends of its range."""
    predictor = LinearPredictor(32)
    with torch.no_grad():
        predictor.weight.copy_(torch.randint(-64, 65, predictor.weight.shape) / 64)
    predictor.exact = predictor.frozen = True
    latents = torch.randint(-(5000 * 16), 5000 * 16, (1, 32, 12, 12)) / 16
    seen = []
    hook = F.conv2d

    def in_bfloat16(x, weight, *rest, **options):
        seen.append(x)
        rounded = [t.bfloat16().double() for t in (x, weight)]
        return hook(*rounded, *rest, **options).float()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "conv2d", in_bfloat16)
        got = predictor(latents)
    assert len(seen) == 2
    whole = round_to(latents, 0.25).clamp(-4096, 4096).double()
    assert torch.equal(got.double(), F.conv2d(whole, predictor.weight.double(), padding=1, groups=32))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 16, 33])
@pytest.mark.parametrize("step", STEPS)
def test_layers_equal_integer_arithmetic(
    threads: int, layout: torch.memory_format, onednn: bool, batch: int, step: float
) -> None:
    """The float32 layers give what float64 gives, whatever kernel, layout, thread count or order of sums."""
    torch.manual_seed(1)
    pointwise, depthwise = IntegerPointwise(192, 96, step, gain=2.0), IntegerDepthwise(192, step)
    shuffled, order = IntegerPointwise(192, 96, step), torch.randperm(192)
    shuffled.load_state_dict({"weight": pointwise.weight[:, order], "bias": pointwise.bias})
    for layer in (pointwise, depthwise, shuffled):
        layer.exact = True
    ends = round(ACTIVATION_LIMIT / step)
    levels = torch.randint(-ends, ends, (batch, 192, 11, 13))
    x = (levels * step).to(memory_format=layout)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.mkldnn.flags(enabled=onednn), torch.inference_mode():
            got_pointwise, got_depthwise = pointwise(x), depthwise(x)
            permuted = shuffled(x[:, order])
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


def test_half_precision_keeps_the_bfloat16_of_every_weight() -> None:
    """Networks are trained to multiply by bfloat16; of float16's roundings, one in sixteen would be another's."""
    torch.manual_seed(5)
    model = ModulatedAutoencoder(CONFIGS["mae-fast"])
    stored = Checkpoint.from_model(model).model().state_dict()
    checked = 0
    for name, value in model.state_dict().items():
        # Below 2^-14 float16 has fewer bits than bfloat16; the entropy networks' weights are integers.
        if not name.startswith("entropy."):
            normal = value.abs() >= 2.0**-14
            checked += int(normal.sum())
            assert torch.equal(stored[name].bfloat16()[normal], value.bfloat16()[normal]), name
            assert torch.allclose(stored[name], value, rtol=2.0**-10, atol=2.0**-24)
    assert checked > 10_000


def test_a_model_survives_saving(checkpoint: Checkpoint, tmp_path: Path) -> None:
    again = Checkpoint.from_model(checkpoint.model(), checkpoint.notes)
    assert again.post_filter is None
    if checkpoint.post_filter:
        again = again.with_post_filter(checkpoint.post_filter)
    # Bar what is computed anew from floating point: the λ tables (from half-precision weights) and the frequencies.
    for name in (n for n in checkpoint.arrays if not n.startswith(("offset.", "tables."))):
        assert np.array_equal(again.arrays[name], checkpoint.arrays[name]), name
    checkpoint.save(tmp_path / "m.safetensors")
    assert Checkpoint.load(tmp_path / "m.safetensors").sha256 == checkpoint.sha256


def test_a_clamped_value_learns_to_come_back_and_not_to_go_further() -> None:
    """Below, within and above the range; the gradient of a sum moves values down, that of its negative up."""
    for sign, expected in ((1.0, [0.0, 1.0, 1.0]), (-1.0, [-1.0, -1.0, 0.0])):
        values = torch.tensor([-9.0, 0.5, 9.0], requires_grad=True)
        clamped = clamp_inward(values, -8.0, 8.0)
        assert clamped.tolist() == [-8.0, 0.5, 8.0]
        (sign * clamped.sum()).backward()
        assert values.grad is not None
        assert values.grad.tolist() == expected


def test_a_rectifier_in_place_has_the_gradient_of_its_input() -> None:
    values = torch.tensor([-2.0, -0.25, 0.25, 3.0], requires_grad=True)
    out = leaky(values * 1.0)
    out.sum().backward()
    assert out.tolist() == [-0.25, -0.03125, 0.25, 3.0]
    assert values.grad is not None
    assert values.grad.tolist() == [0.125, 0.125, 1.0, 1.0]


def test_compress_magnitude_is_log2_at_powers_of_two() -> None:
    x = torch.tensor([0.0, 1.0, -1.0, 3.0, 7.0, -255.0, 2.0, 0.0625])
    expected = torch.tensor([0.0, 1.0, -1.0, 2.0, 3.0, -8.0, 1.5, 0.0625])
    assert torch.equal(compress_magnitude(x), expected)
