"""Mutation testing of ``maevid/stream`` and ``maevid/rate`` by mutmut, of all mutants or of a sample of them.

``python benchmarks/mutation.py --sample 300`` in the root of the checkout. Which code is mutated and which tests judge
it is said in ``pyproject.toml`` (``tool.mutmut``); mutmut makes its copy of the project in ``mutants/``. A sample is
the mutants whose names' hashes are the least, so that it stays nearly the same while the code changes. Survivors are
printed with their difference; ``docs/testing.md`` says what kinds of them there are. Exit code 1 where fewer than
80 % are killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
from mutmut.stats import status_by_exit_code

LEAST_KILLED = 0.8
KILLED = {"killed", "timeout"}
A_FEW = "maevid.stream.overhead.x__length__mutmut_*"
"""Whatever is run, mutmut first makes all mutants and learns which tests reach which function."""


def verdicts() -> dict[str, str]:
    """Every mutant's name, and mutmut's word for what became of it."""
    found: dict[str, str] = {}
    for meta in sorted(Path("mutants").glob("maevid/**/*.meta")):
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        found.update((name, status_by_exit_code[code]) for name, code in codes.items())
    return found


def run(*names: str) -> None:
    """Run mutants, given by name or pattern; ends the program where mutmut fails."""
    command = [
        sys.executable,
        "-c",
        "from mutmut.__main__ import cli; cli()",
        "run",
        "--max-children",
        "1",
        *names,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mutmut failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def main() -> int:
    """Run the mutants and tell what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sample", type=int, help="so many mutants (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", default=[""], help="mutants whose names begin so (maevid.rate.peak)"
    )
    options = parser.parse_args()
    run(A_FEW)
    names = [name for name in verdicts() if name.startswith(tuple(options.only))]
    names.sort(key=lambda name: hashlib.sha256(f"{options.seed} {name}".encode()).digest())
    names = sorted(names[: options.sample])
    run(*names)
    outcome = verdicts()
    for name in names:
        if outcome[name] not in KILLED:
            print(f"{outcome[name]}: {get_diff_for_mutant(name, path=find_mutant(name).path)}")
    for package in ("maevid.stream", "maevid.rate"):
        counts = Counter(outcome[name] for name in names if name.startswith(package))
        whole = sum(name.startswith(package) for name in outcome)
        told = ", ".join(f"{number} {word}" for word, number in counts.most_common())
        print(f"{package}: {counts.total()} of {whole} mutants: {told}")
    return int(sum(outcome[name] in KILLED for name in names) < LEAST_KILLED * len(names))


if __name__ == "__main__":
    sys.exit(main())
