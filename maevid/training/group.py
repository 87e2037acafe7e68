"""The processes of one training: alone, or one of those that `torchrun` starts (DistributedDataParallel)."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Group:
    """This process among its peers; use as a context. Rank 0 saves, validates and decides when to stop.

    What holds a network from :meth:`shared` has to be gone when the context ends: the threads of the group end with
    its last user, and one that lives on into the interpreter's end may abort the process.
    """

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))

    @property
    def leads(self) -> bool:
        """Whether this process is the one that saves and decides."""
        return self.rank == 0

    def __enter__(self) -> Self:
        if self.size > 1:
            # Imported later, as DistributedDataParallel does, its default arguments would hold the group for ever.
            importlib.import_module("torch.distributed.nn.functional")
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.size > 1:
            gc.collect()
            dist.destroy_process_group()

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """What rank 0 does inside is done before any other process begins it: files that all read are made once."""
        if self.size > 1 and not self.leads:
            dist.barrier()
        yield
        if self.size > 1 and self.leads:
            dist.barrier()

    def device(self, kind: str) -> str:
        """The device of this process: its own GPU where ``kind`` is cuda."""
        return f"cuda:{self.local_rank}" if kind == "cuda" else kind

    def shared(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over all processes, which all start from rank 0's weights."""
        return DistributedDataParallel(model) if self.size > 1 else model

    def agree(self, choice: bool, device: str) -> bool:
        """Rank 0's choice, in every process: clocks and signals differ, steps must not."""
        if self.size == 1:
            return choice
        flag = torch.tensor([int(choice)], device=device)
        dist.broadcast(flag, 0)
        return bool(flag.item())
