"""The entry points: one function for each image architecture of CompressAI's registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from maevid.codec.interface import CodecOptions, FrameCodec
from maevid_compressai.codec import open_checkpoints

Opener = Callable[[CodecOptions], FrameCodec]

open_bmshj2018_factorized: Opener = partial(open_checkpoints, "bmshj2018-factorized")
open_bmshj2018_factorized_relu: Opener = partial(open_checkpoints, "bmshj2018-factorized-relu")
open_bmshj2018_hyperprior: Opener = partial(open_checkpoints, "bmshj2018-hyperprior")
open_bmshj2018_hyperprior_vbr: Opener = partial(open_checkpoints, "bmshj2018-hyperprior-vbr")
open_cheng2020_anchor: Opener = partial(open_checkpoints, "cheng2020-anchor")
open_cheng2020_anchor_checkerboard: Opener = partial(open_checkpoints, "cheng2020-anchor-checkerboard")
open_cheng2020_attn: Opener = partial(open_checkpoints, "cheng2020-attn")
open_elic2022_chandelier: Opener = partial(open_checkpoints, "elic2022-chandelier")
open_elic2022_official: Opener = partial(open_checkpoints, "elic2022-official")
open_mbt2018: Opener = partial(open_checkpoints, "mbt2018")
open_mbt2018_mean: Opener = partial(open_checkpoints, "mbt2018-mean")
open_mbt2018_mean_vbr: Opener = partial(open_checkpoints, "mbt2018-mean-vbr")
open_mbt2018_vbr: Opener = partial(open_checkpoints, "mbt2018-vbr")
