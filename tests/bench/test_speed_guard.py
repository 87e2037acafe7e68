"""A guard against slow code slipping in: the codec's time against that of its plain layers, in turns in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest
import torch

from maevid.bench.pictures import synthetic_frames
from maevid.codec.interface import CodecOptions
from maevid.codec.mae import open_mae
from maevid.model import fused
from maevid.model.device import choose_placement

MEASURED = {"encode": 0.58, "decode": 0.53}
"""Of the plain layers' time, by benchmarks/fused.py on the machine where the codec is made (25 November 2026)."""
SLIP = 1.2
ROUNDS = 9


@pytest.mark.skipif(not fused.available(), reason="Numba does not work here, so nothing is fused")
@pytest.mark.skipif(
    choose_placement("cpu").dtype != torch.bfloat16, reason="this CPU has no fast bfloat16: other ratios"
)
@pytest.mark.parametrize("job", MEASURED)
def test_compiled_loops_keep_their_lead(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = open_mae(CodecOptions(device="cpu"))
    monkeypatch.setattr(fused, "available", lambda: False)
    plain = open_mae(CodecOptions(device="cpu"))
    (frame,) = synthetic_frames(1280, 720, 1)
    packet = quick.encode(frame, 148).packet
    works: dict[str, Callable[[], object]] = {
        "encode quick": lambda: quick.encode(frame, 148),
        "encode plain": lambda: plain.encode(frame, 148),
        "decode quick": lambda: quick.decode(packet),
        "decode plain": lambda: plain.decode(packet),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name in (f"{job} quick", f"{job} plain"):
            began = time.perf_counter()
            works[name]()
            times[name].append(time.perf_counter() - began)
    ratio = median(times[f"{job} quick"]) / median(times[f"{job} plain"])
    assert ratio < MEASURED[job] * SLIP
