"""The MAE codec on real frames: round trips, batches, estimates, damage."""

from __future__ import annotations

import zlib
from dataclasses import replace
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import MaeCodec, open_mae
from maevid.codec.registry import open_codec
from maevid.errors import DamagedError, LatentError, MaevidError, ModelError
from maevid.model.autoencoder import ModulatedAutoencoder
from maevid.model.checkpoint import Checkpoint
from maevid.model.config import CONFIGS
from maevid.model.network import Network
from maevid.pipeline.measure import psnr
from maevid.stream.packet import Packet
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader


def crop(frame: Frame, width: int, height: int) -> Frame:
    half = (slice((height + 1) // 2), slice((width + 1) // 2))
    return Frame(frame.y[:height, :width], frame.u[half], frame.v[half], frame.pts, frame.time_base)


@pytest.mark.parametrize("rate_index", [0, 100, 255])
def test_round_trip_through_bytes(mae, hall_frames, rate_index) -> None:
    encoded = mae.encode(hall_frames[0], rate_index, reconstruct=True)
    packet = Packet.from_bytes(encoded.packet.to_bytes())
    assert packet == encoded.packet
    for got, expected in zip(mae.decode(packet), encoded.reconstruction, strict=True):
        assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("precision", "apart", "stray", "rounding"), [("float32", 2, 0.02, 0.0), ("auto", 3, 0.03, 0.5**2 / 12)]
)
def test_more_rate_gives_less_distortion_at_all_256_indices(
    hall_frames, bunny, precision, apart, stray, rounding
) -> None:
    """The mean of two pictures goes forward with every second index, in bfloat16 with every third (of the 254 pairs two
    apart one strays by 0.1 % in distortion). One picture does with every fourth; a single index, 3 % of λ, may not
    stray by more than another sequence of symbols does. In bfloat16 that is more at the lowest indices, and samples
    are half a level apart where they are brightest and darkest: ½²/12 of squared error, which shows beyond 45 dB."""
    mae = open_mae(CodecOptions(device="cpu", precision=precision))
    with VideoReader(bunny) as reader:
        frames = [hall_frames[3], next(islice(reader, 3, None))]
    sizes, errors = [], []
    for frame in frames:
        for start in range(0, 256, 16):
            indices = list(range(start, start + 16))
            for encoded in mae.encode_batch([frame] * 16, indices, reconstruct=True):
                sizes.append(len(encoded.packet.to_bytes()))
                by_plane = [
                    np.square(a.astype(float) - b).mean()
                    for a, b in zip(encoded.reconstruction, frame.planes, strict=True)
                ]
                errors.append(np.average(by_plane, weights=mae.network.config.plane_weights))
    rates, distortions = (np.log(values).reshape(2, 256) for values in (sizes, errors))
    rate, distortion = rates.mean(0), distortions.mean(0)
    assert (rate[apart:] > rate[:-apart]).all()
    assert (distortion[apart:] < distortion[:-apart]).all()
    assert (rates[:, 4:] > rates[:, :-4]).all()
    assert (distortions[:, 4:] < distortions[:, :-4]).all()
    assert np.diff(rates).min() > -0.02
    squared = np.exp(distortions)
    assert (np.diff(squared) < stray * squared[:, :-1] + rounding).all()
    assert psnr(frames[0].y, mae.encode(frames[0], 255, reconstruct=True).reconstruction[0]) > 45


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (15, 17), (16, 16), (33, 64), (320, 180)])
def test_any_size(mae, hall_frames, width, height) -> None:
    frame = crop(hall_frames[0], width, height)
    packet = mae.encode(frame, 200).packet
    planes = mae.decode(packet)
    assert [p.shape for p in planes] == [p.shape for p in frame.planes]
    assert psnr(frame.y, planes[0]) > 28


def test_a_batch_gives_the_bytes_of_single_frames(mae, hall_frames) -> None:
    frames, indices = hall_frames[:5], [10, 90, 130, 200, 250]
    together = mae.encode_batch(frames, indices)
    for frame, index, encoded in zip(frames, indices, together, strict=True):
        assert mae.encode(frame, index).packet.to_bytes() == encoded.packet.to_bytes()


def test_packets_decoded_together_are_the_same_pictures(mae, hall_frames) -> None:
    packets = [
        mae.encode(frame, index).packet for frame, index in zip(hall_frames[:3], (20, 128, 240), strict=True)
    ]
    for planes, packet in zip(mae.decode_batch(packets), packets, strict=True):
        for got, alone in zip(planes, mae.decode(packet), strict=True):
            assert np.array_equal(got, alone)
    assert mae.decode_batch([]) == []


def test_the_fast_model_is_another_codec(mae, hall_frames) -> None:
    fast = open_codec("mae-fast", CodecOptions(device="cpu"))
    assert (fast.name, len(fast.rate_indices)) == ("mae-fast", 256)
    packet = Packet.from_bytes(fast.encode(hall_frames[0], 200).packet.to_bytes())
    fast.check(packet)
    assert psnr(hall_frames[0].y, fast.decode(packet)[0]) > 28
    with pytest.raises(
        ModelError, match=f"needs model {fast.identity.hex()}, this is mae {mae.identity.hex()}"
    ):
        mae.decode(packet)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_codes_and_decodes(hall_frames, name) -> None:
    torch.manual_seed(3)
    config = CONFIGS[name]
    sizes = {"hyper": min(config.hyper, 16), "hyper_latents": min(config.hyper_latents, 8)}
    small = replace(config, channels=16, latents=32, width_16=0, **sizes)
    codec = MaeCodec(Checkpoint.from_model(ModulatedAutoencoder(small)), CodecOptions(device="cpu"))
    frames = [crop(frame, 98, 66) for frame in hall_frames[:2]]
    indices = [codec.rate_indices[-1] * k // 255 for k in (60, 250)]
    for encoded in codec.encode_batch(frames, indices, reconstruct=True):
        packet = Packet.from_bytes(encoded.packet.to_bytes())
        for got, expected in zip(codec.decode(packet), encoded.reconstruction, strict=True):
            assert np.array_equal(got, expected)


def test_thread_count_does_not_change_bytes(mae, hall_frames) -> None:
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made.append(mae.encode(hall_frames[1], 140).packet.to_bytes())
    finally:
        torch.set_num_threads(before)
    assert made[0] == made[1]


def test_estimates_lie_within_two_percent(mae, hall_frames) -> None:
    indices = [20, 120, 220]
    estimates = mae.estimate_bits(hall_frames[:2], indices)
    for row, frame in enumerate(hall_frames[:2]):
        for column, index in enumerate(indices):
            true = 8 * len(mae.encode(frame, index).packet.to_bytes())
            assert estimates[row, column] == pytest.approx(true, rel=0.02)


def test_parts_add_up_to_the_packet(mae, hall_frames) -> None:
    encoded = mae.encode(hall_frames[0], 128)
    assert sum(encoded.parts.values()) == 8 * len(encoded.packet.to_bytes())
    assert set(encoded.parts) == {"header", "hyper", "latent"}
    assert min(encoded.parts.values()) > 0


def test_block_bits_add_up_to_the_payload(mae, hall_frames) -> None:
    frame = crop(hall_frames[0], 300, 170)
    packet = mae.encode(frame, 120).packet
    bits = mae.block_bits(packet)
    assert bits.shape == (11, 19)
    assert bits.sum() == pytest.approx(8 * (len(packet.parts[0]) - 4), rel=0.01)
    assert bits.min() > 0
    assert bits.max() > 4 * np.median(bits)


def test_a_packet_of_other_weights_says_what_it_needs(mae, hall_frames) -> None:
    packet = replace(mae.encode(hall_frames[0], 100).packet, model=b"\x01\x02\x03\x04")
    with pytest.raises(ModelError, match="01020304"):
        mae.decode(packet)


def test_a_wrong_check_value_is_told_apart_from_damage(mae, hall_frames) -> None:
    packet = mae.encode(hall_frames[0], 100).packet
    with pytest.raises(LatentError, match="not the encoder's"):
        mae.check(replace(packet, latent_check=packet.latent_check ^ 1))


def test_damaged_payloads_never_crash(mae, hall_frames) -> None:
    """A payload whose CRC was forged to fit still ends in a clean error, not in a picture."""
    frame = crop(hall_frames[0], 64, 64)
    packet = mae.encode(frame, 120).packet
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        payload = bytearray(packet.parts[0])
        for at in random.integers(len(payload), size=random.integers(1, 4)):
            payload[at] ^= 1 << int(random.integers(8))
        if bytes(payload) == packet.parts[0]:
            continue
        with pytest.raises(MaevidError):
            mae.decode(replace(packet, parts=(bytes(payload),)))
        refused += 1
    assert refused > 100
    with pytest.raises(DamagedError):
        mae.decode(replace(packet, parts=(packet.parts[0], b"")))
    with pytest.raises(DamagedError):
        mae.decode(replace(packet, parts=(packet.parts[0][:10],)))


def test_rate_indices_outside_the_range_are_refused(mae, hall_frames) -> None:
    for index in (-1, 256):
        with pytest.raises(ValueError, match="0 to 255"):
            mae.encode(hall_frames[0], index)


def test_flat_frames_cost_next_to_nothing(mae) -> None:
    half = np.full((90, 160), 128, np.uint8)
    black = Frame(np.full((180, 320), 16, np.uint8), half, half.copy(), 0, Fraction(1, 25))
    packet = mae.encode(black, 60).packet
    assert len(packet.to_bytes()) < 400
    planes = mae.decode(packet)
    assert abs(int(planes[0].mean()) - 16) <= 2
    assert zlib.crc32(packet.to_bytes()) == zlib.crc32(mae.encode(black, 60).packet.to_bytes())


class SmallMemory:
    """Stands before a network's analysis and runs out of memory, as CUDA does, for more than ``room`` pictures."""

    def __init__(self, network: Network, room: int) -> None:
        self.analyse, self.room = network.analyse, room
        self.tried: list[int] = []

    def __call__(self, source: torch.Tensor, rate_indices: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(source))
        if len(source) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return self.analyse(source, rate_indices)


def test_out_of_memory_makes_batches_smaller(mae, hall_frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same packets and estimates; what was too much is not tried again, for larger pictures accordingly less."""
    frames = [crop(frame, 64, 48) for frame in hall_frames[:8]]
    indices = list(range(60, 140, 10))
    packets = [encoded.packet for encoded in mae.encode_batch(frames, indices)]
    estimates = mae.estimate_bits(frames[:1], indices)
    codec = open_mae(CodecOptions(device="cpu"))
    # As on a GPU, which takes pictures in batches.
    monkeypatch.setattr(codec, "lanes", lambda samples: 1)
    memory = SmallMemory(codec.network, 3)
    monkeypatch.setattr(codec.network, "analyse", memory)
    assert [encoded.packet for encoded in codec.encode_batch(frames, indices, reconstruct=True)] == packets
    assert memory.tried == [8, 4, 2, 2, 2, 2]
    assert np.array_equal(codec.estimate_bits(frames[:1], indices), estimates)
    assert memory.tried[6:] == [2, 2, 2, 2]
    larger = [crop(frame, 128, 48) for frame in hall_frames[:2]]
    codec.encode_batch(larger, indices[:2])
    assert memory.tried[10:] == [1, 1]


def test_a_picture_too_large_for_the_memory_is_told(
    mae, hall_frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = open_mae(CodecOptions(device="cpu"))
    packet = codec.encode(hall_frames[0], 100).packet

    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(codec.network, "analyse", full)
    monkeypatch.setattr(codec.network, "synthesise", full)
    for work in (
        lambda: codec.encode(hall_frames[0], 100),
        lambda: codec.estimate_bits(hall_frames[:1], [100]),
        lambda: codec.decode(packet),
    ):
        with pytest.raises(
            MaevidError, match="memory does not hold one picture of 57600 samples; use --device cpu"
        ):
            work()
