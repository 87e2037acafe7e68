"""A decoder written from docs/format.md alone: NumPy, nothing of maevid. It checks the page, and is slow."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from hashlib import sha256
from math import exp, log
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from safetensors import safe_open

CONTAINERS = {0x18538067, 0x1F43B675, 0x1654AE6B, 0xA0}  # Segment, Cluster, Tracks, BlockGroup
TRACK_ENTRY, SIMPLE_BLOCK, BLOCK, STILL = 0xAE, 0xA3, 0xA1, b"\x89MAEV\r\n\x1a"


class Packet(NamedTuple):
    model: bytes
    rate: int
    width: int
    height: int
    pts: int
    duration: int
    parts: list[bytes]
    check: int


def elements(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """ID, start and end of the body of each Matroska element; containers are entered."""
    while at < end:
        length = 9 - data[at].bit_length()
        identity = int.from_bytes(data[at : at + length], "big")
        at += length
        length = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + length], "big") - (1 << 7 * length)
        at += length
        yield identity, at, at + size
        if identity not in CONTAINERS:
            at += size


def packets_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    number, found = None, []
    for identity, start, end in elements(data, 0, len(data)):
        if identity == TRACK_ENTRY:
            track = {i: data[a:b] for i, a, b in elements(data, start, end)}
            if track[0x86] == b"V_MAEVID/INTRA":
                number = track[0xD7][-1]
        if identity in (SIMPLE_BLOCK, BLOCK) and data[start] == 0x80 | number:
            found.append(data[start + 4 : end])
    return found


def read_packet(data: bytes) -> Packet:
    at = 9

    def uvarint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    assert data[:4] == b"MV\x01\x01"
    width, height, folded, duration, count = (uvarint() for _ in range(5))
    lengths = [uvarint() for _ in range(count)]
    check, crc = (int.from_bytes(data[at + k : at + k + 4], "little") for k in (0, 4))
    assert crc == crc32(data[at + 8 :], crc32(data[: at + 4]))
    at += 8
    parts = []
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    assert at == len(data)
    pts = folded // 2 if folded % 2 == 0 else -(folded + 1) // 2
    return Packet(data[4:8], data[8], width, height, pts, duration, parts, check)


def read_still(data: bytes) -> tuple[tuple[int, int, int, int], str, Packet]:
    end = 14 + data[13]
    assert data.startswith(STILL)
    assert data[8] == 1
    assert int.from_bytes(data[end : end + 4], "little") == crc32(data[:end])
    return tuple(data[9:13]), data[14:end].decode(), read_packet(data[end + 4 :])


AFTER = ((0, 3, 5, 6, 1, 2, 4, 7), (1, 2, 4, 7, 0, 3, 5, 6))


class String:
    """Takes symbols out of a coded string."""

    def __init__(self, data: bytes, tables: list[tuple[int, list[int]]]) -> None:
        self.data, self.tables = data, tables
        self.x = int.from_bytes(data[:5], "little")
        self.at, self.end = 5, len(data)
        self.escapes = 0

    def take(self, which: np.ndarray) -> np.ndarray:
        return np.array([self.symbol(*self.tables[t]) for t in which], np.int64)

    def take_in_turn(self, index: np.ndarray) -> np.ndarray:
        """Levels of symbols of two quantisers."""
        levels, state = [], 0
        for i in index:
            k = self.symbol(*self.tables[64 * (1 + state) + i])
            levels.append(2 * k - (state % 2) * ((k > 0) - (k < 0)))
            state = AFTER[k % 2][state]
        return np.array(levels, np.int64)

    def symbol(self, low: int, c: list[int]) -> int:
        slot = self.x % 2**16
        k = bisect_right(c, slot) - 1
        self.x = (c[k + 1] - c[k]) * (self.x >> 16) + slot - c[k]
        if self.x < 2**24:
            self.x = self.x << 16 | int.from_bytes(self.data[self.at : self.at + 2], "little")
            self.at += 2
        m = len(c) - 2
        if k < m:
            return low + k
        self.escapes += 1
        u = shift = 0
        while True:
            self.end -= 1
            u |= (self.data[self.end] & 0x7F) << shift
            shift += 7
            if self.data[self.end] < 0x80:
                break
        return low + m + u // 2 if u % 2 == 0 else low - 1 - (u - 1) // 2

    def finish(self) -> None:
        assert (self.x, self.at) == (2**24, self.end)


def rounded(x: np.ndarray, step: float) -> np.ndarray:
    return step * np.floor(x / step + 0.5)


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, x, x / 8)


def pointwise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.einsum("oi,ihw->ohw", weight, x, optimize=True) + bias[:, None, None]


def depthwise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | float) -> np.ndarray:
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros_like(x) + np.reshape(bias, (-1, 1, 1))
    for i in range(3):
        for j in range(3):
            out += weight[:, 0, i, j, None, None] * padded[:, i : i + height, j : j + width]
    return out


def shuffle(x: np.ndarray, step: int = 2) -> np.ndarray:
    channels, height, width = x.shape
    x = x.reshape(channels // step**2, step, step, height, width)
    return x.transpose(0, 3, 1, 4, 2).reshape(channels // step**2, step * height, step * width)


def logarithm(x: np.ndarray) -> np.ndarray:
    g = 1 + np.abs(x)
    e = np.frexp(g)[1] - 1
    return np.sign(x) * (e + g / 2.0**e - 1)


PAIRS = ((0, 1), (0, 2), (0, 3), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1), (2, 0), (2, 1), (3, 0))
KINDS = ("luma", "chroma", "chroma")


def guide_of(luma: np.ndarray) -> np.ndarray:
    wide = np.pad(luma.astype(int), [(0, n % 2) for n in luma.shape], mode="edge")
    return (wide[::2, ::2] + wide[::2, 1::2] + wide[1::2, ::2] + wide[1::2, 1::2] + 2) // 4


def guided(luma: np.ndarray, chroma: np.ndarray, i: int, j: int, side: int, ridge: int) -> int:
    """The feature of one sample of a plane by the square around it; both planes repeat their edges eight times."""
    f, n = np.float32, side**2
    top, left = 8 + i - side // 2, 8 + j - side // 2
    y, c = (x[top : top + side, left : left + side].astype(int) for x in (luma, chroma))
    spread = n * (y * y).sum() - y.sum() ** 2 + ridge
    slope = f(n * (y * c).sum() - y.sum() * c.sum()) / f(spread)
    rise = slope * f(n * luma[8 + i, 8 + j] - y.sum())
    return int(np.clip(np.rint((rise + f(c.sum() - n * chroma[8 + i, 8 + j])) * f(8 / n)), -2047, 2047))


class Change(NamedTuple):
    gain: int
    offset: int
    added: np.ndarray | int


UNCHANGED = Change(0, 0, 0)


def filtered(
    arrays: dict[str, np.ndarray],
    plane: np.ndarray,
    kind: str,
    node: int,
    luma: np.ndarray,
    change: Change = UNCHANGED,
) -> np.ndarray:
    """A plane through the post filter of a model file's arrays, sample by sample; ``luma`` before its own filter."""
    ridges = (
        arrays["post.guide.chroma"][node].tolist()
        if kind == "chroma" and "post.guide.chroma" in arrays
        else []
    )
    guide = np.pad(guide_of(luma), 8, mode="edge")
    limits, cuts = arrays[f"post.limit.{kind}"][node], arrays[f"post.cut.{kind}"][node].tolist()
    coefficients = arrays[f"post.filter.{kind}"][node].astype(int)
    if change is not UNCHANGED:
        coefficients = coefficients + (change.gain * coefficients + 4) // 8 + change.added
        coefficients = np.clip(coefficients, -32767, 32767)
    height, width = plane.shape
    # Eight samples more on each side than the plane has, all repeated.
    wide = np.pad(plane.astype(int), 8, mode="edge")
    out = plane.copy()
    for i, j in np.ndindex(height, width):
        top, left = 8 + i - i % 2 - 2, 8 + j - j % 2 - 2
        s = []
        for a, b in ((0, 1), (1, 0), (1, 1), (1, -1)):
            middle = wide[top : top + 6, left : left + 6]
            before = wide[top - a : top - a + 6, left - b : left - b + 6]
            after = wide[top + a : top + a + 6, left + b : left + b + 6]
            s.append(int(np.abs(2 * middle - before - after).sum()))
        if max(s[0], s[1]) * min(s[2], s[3]) >= max(s[2], s[3]) * min(s[0], s[1]):
            most, least, which = max(s[0], s[1]), min(s[0], s[1]), 0 if s[0] >= s[1] else 1
        else:
            most, least, which = max(s[2], s[3]), min(s[2], s[3]), 2 if s[2] >= s[3] else 3
        direction = 0
        if most > 0 and 4 * most >= 6 * least:
            direction = (1 if 4 * most < 12 * least else 5) + which
        phase = 2 * (i // 2 % 4 in (0, 3)) + (j // 2 % 4 in (0, 3)) if len(coefficients) == 720 else 0
        w = coefficients[180 * phase + 9 * int((limits <= s[0] + s[1]).sum()) + direction]
        total = 512 + 128 * change.offset
        for t, (a, b) in enumerate(PAIRS):
            d, e = (int(wide[8 + i + x, 8 + j + y]) - int(plane[i, j]) for x, y in ((a, b), (-a, -b)))
            total += int(w[3 * t]) * (d + e)
            for q, cut in enumerate(cuts, 1):
                total += int(w[3 * t + q]) * (max(-cut, min(d, cut)) + max(-cut, min(e, cut)))
        for q, ridge in enumerate(ridges):
            total += int(w[36 + q]) * guided(guide, wide, i, j, 4 * q + 3, ridge)
        out[i, j] = max(0, min(int(plane[i, j]) + total // 1024, 255))
    return out


def apart(plane: np.ndarray, change: np.ndarray) -> None:
    """Undo the overlap of blocks that lie beside each other, in place."""
    k = len(change)
    for c in range(2 * k, plane.shape[1], 2 * k):
        before, behind = plane[:, c - k : c][:, ::-1], plane[:, c : c + k]
        more = (before - behind) @ change.T
        before += more
        behind -= more


class Model:
    """A model file, and the decoding of packets with it."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata()
            self.arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert metadata["format"] == "maevid-model-1"
        told = ["maevid-model-1", json.loads(metadata["config"])]
        digest = sha256(json.dumps(told, sort_keys=True).encode())
        for name, array in sorted(self.arrays.items()):
            digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode() + array.tobytes())
        self.identity = digest.digest()
        self.config = {
            "units": "samples",
            "width_16": 0,
            "activation_bits": 8,
            "mean_bits": 4,
            "post_filter": False,
            "lapped": False,
            "trellis": False,
            **json.loads(metadata["config"]),
        }
        self.step = 2.0 ** (4 - self.config["activation_bits"])
        self.mean_step = 2.0 ** -self.config["mean_bits"]
        c, at = self.arrays["tables.cumulative"].tolist(), 0
        self.tables = []
        for low, size in zip(self.arrays["tables.minimum"], self.arrays["tables.size"], strict=True):
            self.tables.append((int(low), c[at : at + size + 2]))
            at += size + 2

    def act(self, x: np.ndarray) -> np.ndarray:
        return np.clip(rounded(x, self.step), -8, 8 - self.step)

    def layer(self, name: str, x: np.ndarray) -> np.ndarray:
        part = {k: self.arrays[f"int.entropy.{name}.{k}"] for k in ("weight", "exponent", "bias")}
        scale = 2.0 ** -part["exponent"].astype(float)
        weight = part["weight"] * scale.reshape(-1, *[1] * (part["weight"].ndim - 1))
        run = depthwise if weight.ndim == 4 else pointwise
        return run(x, weight, part["bias"] * self.step * scale)

    def offset(self, name: str, rate: int, step: float) -> np.ndarray:
        return self.arrays[f"offset.{name}"][rate][:, None, None] * step

    def head(self, name: str, x: np.ndarray, offset: str, rate: int) -> tuple[np.ndarray, np.ndarray]:
        hidden = self.act(leaky(self.layer(f"{name}.hidden", x) + self.offset(offset, rate, 1 / 64)))
        mean, index = np.split(self.layer(f"{name}.out", hidden), 2)
        index = rounded(4 * index + self.offset("scale_index", rate, 1 / 8), 1 / 8)
        return rounded(mean, self.mean_step), np.clip(rounded(index, 1), 0, 63).astype(int)

    def changes(self, string: String, part: bytes) -> list[Change]:
        """What the rest of a string changes of the filters of Y, U and V."""
        assert len(part) == 1
        assert 1 <= part[0] < 216
        found = []
        for kind, form in zip(KINDS, (part[0] % 6, part[0] // 6 % 6, part[0] // 36), strict=True):
            count = self.arrays[f"post.filter.{kind}"].shape[-1] if form > 1 else 0
            symbols = string.take([16, 18] + [32 - 4 * (form - 1)] * count if form else [])
            assert (np.abs(symbols) <= 127).all()
            added = symbols[:1:-1] * 2 ** (form + 1) if count else 0
            found.append(Change(int(symbols[0]), int(symbols[1]), added) if form else UNCHANGED)
        return found

    def latents(self, packet: Packet) -> np.ndarray:
        """Decoded latents (M, h, w); their check value has been compared."""
        return self.decoded(packet)[0]

    def decoded(self, packet: Packet) -> tuple[np.ndarray, list[Change]]:
        """Latents, and what the packet changes of the post filter."""
        r, act = packet.rate, self.act
        h, w = -(-packet.height // 16), -(-packet.width // 16)
        rows, columns = -(-h // 4), -(-w // 4)
        string = String(packet.parts[0], self.tables)
        z = string.take(np.repeat(self.arrays["offset.hyper_index"][r], rows * columns)).reshape(
            -1, rows, columns
        )
        f = act(leaky(shuffle(self.layer("up_1", z / 16)) + self.offset("hyper", r, 1 / 64)))
        f = act(self.layer("spatial_1", f))
        f = act(leaky(shuffle(self.layer("up_2", f))))
        f = act(self.layer("spatial_2", f))[:, :h, :w]

        def symbols(index: np.ndarray, places: np.ndarray) -> np.ndarray:
            coded = places & (index >= 4)
            found = np.zeros(index.shape)
            if self.config["trellis"]:
                found[coded] = 0.75 * string.take_in_turn(index[coded])
            else:
                found[coded] = string.take(index[coded])
            return found

        mean, index = self.head("head_1", f, "first", r)
        mean = np.clip(mean, -16384, 16384)
        first = np.indices(mean.shape).sum(0) % 2 == 0
        if self.config["prior"] == "hyperprior":
            first[:] = True
        latents = np.where(first, mean + symbols(index, first), 0)
        if not first.all():
            t = act(self.layer("context_spatial", act(logarithm(np.clip(latents, -255, 255)))))
            t = act(self.layer("context_mix", t) + f)
            mean, index = self.head("head_2", t, "second", r)
            near = np.clip(rounded(latents, 1 / 4), -4096, 4096)
            predicted = depthwise(near, self.arrays["int.entropy.predictor.weight"] / 64, 0.0)
            mean = np.clip(mean + rounded(predicted, self.mean_step), -16384, 16384)
            latents = np.where(first, latents, mean + symbols(index, ~first))
        changes = [UNCHANGED] * 3
        if len(packet.parts) > 1:
            changes = self.changes(string, *packet.parts[1:])
        string.finish()
        assert crc32((latents / self.mean_step).astype("<i4").tobytes()) == packet.check
        return latents, changes

    def synthesis(self, packet: Packet) -> list[np.ndarray]:
        """Y, U and V before the post filter."""
        return self.synthesised(packet, self.latents(packet))

    def synthesised(self, packet: Packet, latents: np.ndarray) -> list[np.ndarray]:
        """The same of a packet's latents."""
        config, r = self.config, packet.rate
        quantiser = config["units"] == "quantiser"
        lam = config["lambda_min"] * (config["lambda_max"] / config["lambda_min"]) ** (r / 255)
        shrink = exp(-0.5 * log(lam * 255**2 * log(2) / 6))
        x = latents * self.gain("demodulation_y", r) * (1 if quantiser else shrink)
        for number in range(config["blocks_16"]):
            x = self.block(f"synthesis.blocks_16.{number}", x)
        x = shuffle(self.float("synthesis.up", x))
        if config["modulation"] == "every-stage":
            x = x * self.gain("synthesis.modulation_8", r)
        for number in range(config["blocks_8"]):
            x = self.block(f"synthesis.blocks_8.{number}", x)
        x = self.float("synthesis.output", x * shrink if quantiser else x)
        planes = [shuffle(x[:64], 8)[0], shuffle(x[64:80], 4)[0], shuffle(x[80:], 4)[0]]
        if config["lapped"]:
            for plane, kind, k in zip(planes, KINDS, (8, 4, 4), strict=True):
                matrix = np.eye(k) + self.value(f"lapping.condition_{kind}", r).reshape(k, k)
                for turned in (plane, plane.T):
                    apart(turned, (np.linalg.inv(matrix) - np.eye(k)) / 2)
        half = (packet.height + 1) // 2, (packet.width + 1) // 2
        sizes = (packet.height, packet.width), half, half
        samples = [np.clip(rounded(255 * (plane + 0.5), 1), 0, 255).astype(np.uint8) for plane in planes]
        return [plane[:rows, :columns] for plane, (rows, columns) in zip(samples, sizes, strict=True)]

    def picture(self, packet: Packet) -> list[np.ndarray]:
        """Y, U and V."""
        latents, changes = self.decoded(packet)
        planes = self.synthesised(packet, latents)
        if not self.config["post_filter"]:
            return planes
        return [
            filtered(self.arrays, plane, kind, packet.rate // 16, planes[0], change)
            for plane, kind, change in zip(planes, KINDS, changes, strict=True)
        ]

    def float(self, name: str, x: np.ndarray) -> np.ndarray:
        weight, bias = (self.arrays[f"float.{name}.{k}"].astype(np.float64) for k in ("weight", "bias"))
        return (depthwise if weight.ndim == 4 else pointwise)(x, weight, bias)

    def gain(self, name: str, rate: int) -> np.ndarray:
        return np.exp(self.value(f"{name}.log_gain", rate))[:, None, None]

    def value(self, name: str, rate: int) -> np.ndarray:
        name = f"float.{name}"
        part = {k: self.arrays[f"{name}.{k}"].astype(np.float64) for k in ("hidden.weight", "hidden.bias")}
        hidden = np.maximum(0, part["hidden.weight"][:, 0] * (2 * rate / 255 - 1) + part["hidden.bias"])
        out = self.arrays[f"{name}.out.weight"].astype(np.float64) @ hidden
        return out + self.arrays[f"{name}.out.bias"].astype(np.float64)

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        def seen(x: np.ndarray) -> np.ndarray:
            return x / np.sqrt(1 + np.abs(x)) if self.config["units"] == "quantiser" else x

        inner = self.float(f"{name}.spatial", leaky(self.float(f"{name}.spatial_in", seen(x))))
        x = x + self.float(f"{name}.spatial_out", inner)
        return x + self.float(f"{name}.mix_out", leaky(self.float(f"{name}.mix_in", seen(x))))
