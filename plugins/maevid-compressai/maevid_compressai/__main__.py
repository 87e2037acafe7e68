"""Runs CompressAI's own programs with maevid's networks among its models, and exports maevid's weights for them.

python -m maevid_compressai eval_model pretrained PICTURES -a maevid-mae-vbr
python -m maevid_compressai export MODEL.safetensors CHECKPOINT.pth.tar
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import torch

from maevid.errors import MaevidError
from maevid.model.checkpoint import Checkpoint
from maevid_compressai.networks import MaevidModel


def main() -> int:
    """Run what the command line names; exit code 2 when it names nothing."""
    match sys.argv[1:]:
        case ["export", source, target]:
            try:
                model = MaevidModel(Checkpoint.load(Path(source)))
            except MaevidError as error:
                print(f"maevid_compressai: {error}", file=sys.stderr)
                return error.exit_code
            torch.save({"state_dict": model.state_dict()}, target)
            return 0
        case ["eval_model", *arguments]:
            sys.argv[1:] = arguments
            runpy.run_module("compressai.utils.eval_model", run_name="__main__", alter_sys=True)
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
