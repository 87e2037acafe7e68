"""Checkpoint files of strangers: tensors are read from them, and nothing in them is ever run."""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import torch
from compressai.zoo.pretrained import load_pretrained as renamed
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from maevid.errors import ModelError, UsageError

State = dict[str, Tensor]

FOLDER_VARIABLE = "MAEVID_COMPRESSAI_WEIGHTS"
"""Names a folder with the checkpoints of several architectures, for runs that compare them."""
_SUFFIXES = (".safetensors", ".pth.tar", ".tar.pth", ".pth", ".pt")
_WRAPPERS = ("network", "state_dict", "model_state_dict")
"""What training scripts call the weights in a checkpoint that holds more, as CompressAI's own evaluation has it."""


def checkpoint_files(architecture: str, weights: Path | None) -> list[Path]:
    """The checkpoints of a model: the file, or all of a folder in order of their names.

    Without ``weights`` they are looked for under the architecture's name in the folder that the environment variable
    MAEVID_COMPRESSAI_WEIGHTS names. Raises UsageError when there is none.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if weights is None and folder:
        candidates = [Path(folder, architecture + suffix) for suffix in ("", *_SUFFIXES)]
        weights = next((path for path in candidates if path.exists()), None)
        if weights is None:
            raise UsageError(f"there is no checkpoint of {architecture} in {folder} ({FOLDER_VARIABLE})")
    if weights is None:
        raise UsageError(
            f"{architecture} has no weights of its own: give a checkpoint with --weights FILE, "
            f"or a folder of checkpoints in {FOLDER_VARIABLE}"
        )
    if not weights.is_dir():
        return [weights]
    files = sorted(path for path in weights.iterdir() if path.name.endswith(_SUFFIXES))
    if not files:
        raise UsageError(f"there is no checkpoint ({', '.join(_SUFFIXES)}) in {weights}")
    return files


def load_state(path: Path) -> State:
    """The weights in a checkpoint of PyTorch (read without unpickling objects) or in a safetensors file.

    Names are brought to CompressAI's present ones. Raises ModelError for a file that is missing or holds anything but
    tensors and plain values.
    """
    try:
        if path.name.endswith(".safetensors"):
            found: object = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as reason:
        raise ModelError(f"{path}: cannot be read ({reason.strerror or reason})") from None
    except (
        SafetensorError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
    ):
        raise ModelError(
            f"{path}: not a checkpoint that can be read safely (tensors and plain values only)"
        ) from None
    if isinstance(found, dict):
        found = next((found[name] for name in _WRAPPERS if isinstance(found.get(name), dict)), found)
    if not isinstance(found, dict) or not found or not all(map(_plain, found.values())):
        raise ModelError(f"{path}: holds no weights of a network")
    state: State = renamed({str(name): value for name, value in found.items()})
    return state


def _plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized


def identity_of(architecture: str, states: list[State]) -> str:
    """SHA-256 over the architecture and all tensors, in hexadecimal; the file format does not matter."""
    digest = hashlib.sha256(f"maevid-compressai 1 {architecture} {len(states)}\n".encode())
    for state in states:
        for name, value in sorted(state.items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
