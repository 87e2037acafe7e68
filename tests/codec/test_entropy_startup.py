"""Fresh processes: what is imported when, where Numba's cache may lie, what happens without Numba."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import maevid.codec.entropy

PACKAGE = Path(maevid.codec.entropy.__file__).parents[2]

needs_numba = pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="Numba is not installed")

CODE_GOLDEN = """
import sys, numpy as np
from maevid.codec.entropy import Decoder, FrequencyTables, encode, kernels_in_use
golden = np.load(sys.argv[1])
tables = FrequencyTables.from_arrays(golden)
data = golden["data"].tobytes()
assert encode(golden["symbols"], golden["indexes"], tables) == data
decoder = Decoder(data, tables)
assert np.array_equal(decoder.decode(golden["indexes"]), golden["symbols"])
decoder.finish()
print(kernels_in_use())
"""

GOLDEN = Path(__file__).parent.parent / "golden" / "entropy" / "steps.npz"


def run(code: str, root: Path = PACKAGE.parent, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process that imports maevid from ``root``."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "XDG_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-B", "-c", code, str(GOLDEN)],
        env=inherited | {"PYTHONPATH": str(root)} | environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def copied_package(folder: Path) -> Path:
    """A copy of maevid where not even root can cache anything: a file stands in the cache folder's place."""
    shutil.copytree(PACKAGE, folder / "maevid", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "maevid" / "codec" / "entropy" / "__pycache__").touch()
    return folder


def test_import_is_light() -> None:
    result = run(
        "import sys, maevid.codec.entropy\n"
        "print(sorted({'numba', 'llvmlite', 'torch', 'av', 'scipy'} & sys.modules.keys()))"
    )
    assert result.stdout == "[]\n"


@needs_numba
def test_read_only_install_caches_in_the_users_folder(tmp_path: Path) -> None:
    root = copied_package(tmp_path / "site")
    cache = tmp_path / "cache"
    for _ in range(2):
        assert run(CODE_GOLDEN, root, XDG_CACHE_HOME=str(cache)).stdout == "compiled\n"
        assert len(list(cache.rglob("*.nbi"))) == 3
        assert len(list(cache.rglob("*.nbc"))) == 3


@needs_numba
def test_without_any_place_for_the_cache(tmp_path: Path) -> None:
    root = copied_package(tmp_path / "site")
    result = run(CODE_GOLDEN, root, HOME="/dev/null/nowhere", XDG_CACHE_HOME="/dev/null/nowhere")
    assert result.stdout == "compiled, not cached\n"
    assert result.stderr == ""


@needs_numba
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_spoiled_cache(tmp_path: Path, suffix: str) -> None:
    root = copied_package(tmp_path / "site")
    cache = tmp_path / "cache"
    run(CODE_GOLDEN, root, XDG_CACHE_HOME=str(cache))
    for path in cache.rglob(f"*.{suffix}"):
        path.write_bytes(path.read_bytes()[:100])
    result = run(CODE_GOLDEN, root, XDG_CACHE_HOME=str(cache))
    assert result.stdout in ("compiled\n", "compiled, not cached\n")


def test_without_numba() -> None:
    """The slow implementation takes over, gives the same bytes, and the log says why it is slow."""
    result = run("import sys; sys.modules['numba'] = None\n" + CODE_GOLDEN)
    assert result.stdout == "interpreted\n"
    assert "entropy coding runs interpreted" in result.stderr


@needs_numba
def test_with_compilation_switched_off() -> None:
    result = run(CODE_GOLDEN, NUMBA_DISABLE_JIT="1")
    assert result.stdout == "interpreted\n"
    assert "NUMBA_DISABLE_JIT" in result.stderr


@needs_numba
def test_damage_never_leads_out_of_bounds(tmp_path: Path) -> None:
    """The tests of damage once more, with every access of the compiled loops checked."""
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    out_of_bounds = """
import numpy as np
from maevid.codec.entropy import compiled, gaussian_tables
data, indexes = np.zeros(9, np.uint8), np.zeros(99, np.int16)
try:
    compiled.decode_symbols(data, 5, 100, 1 << 24, indexes, gaussian_tables([9]))
except IndexError:
    print("checked")
"""
    assert run(out_of_bounds, **checked).stdout == "checked\n"
    damage = str(Path(__file__).parent / "test_entropy_damage.py")
    tests = f"import pytest; raise SystemExit(pytest.main([{damage!r}, '-q', '-p', 'no:cacheprovider']))"
    assert " passed" in run(tests, **checked).stdout


@needs_numba
def test_first_use_from_many_threads_at_once(tmp_path: Path) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from maevid.codec.entropy import encode, gaussian_tables, kernels_in_use
tables = gaussian_tables([1.0])
ones = np.ones(1000, dtype=np.int32)
with ThreadPoolExecutor(8) as pool:
    strings = set(pool.map(lambda _: encode(ones, 0 * ones, tables), range(8)))
print(len(strings), kernels_in_use())
"""
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)).stdout == "1 compiled\n"
