"""The package as a whole: its documented example, and that it knows numbers only."""

import doctest
import subprocess
import sys

import maevid.rate


def test_example_in_the_documentation_runs():
    outcome = doctest.testmod(maevid.rate, verbose=False)
    assert outcome.attempted >= 10
    assert outcome.failed == 0


def test_imports_neither_torch_nor_av_nor_other_maevid_packages():
    code = (
        "import sys, maevid.rate\n"
        "print(sorted({m for m in sys.modules if m.split('.')[0] in ('torch', 'av', 'textual', 'PIL')}))\n"
        "ours = {m for m in sys.modules if m.startswith('maevid.')}\n"
        "print(sorted(m for m in ours if not m.startswith('maevid.rate')))"
    )
    lines = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert lines[0] == "[]"
    # What writes and reads files of reports, beside the errors and the reports themselves.
    assert lines[1] == "['maevid.atomic', 'maevid.errors', 'maevid.report', 'maevid.report_io']"


def test_everything_listed_exists():
    assert all(hasattr(maevid.rate, name) for name in maevid.rate.__all__)
