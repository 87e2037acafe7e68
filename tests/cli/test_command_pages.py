"""docs/commands: every option of a command stands on its page with its default, nothing else does, and examples run."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from maevid.cli import COMMANDS, main
from maevid.video.frame import Frame

FOLDER = Path(__file__).parents[2] / "docs" / "commands"
NEEDS = {"evaluate": ("matplotlib", "pytorch_msssim", "scipy")}
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][a-z-]*")


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"maevid {command}", exit_on_error=False)
    import_module(f"maevid.cli.{command}_command").add_arguments(parser)
    return parser


def page(command: str) -> str:
    return (FOLDER / f"{command}.md").read_text()


def boxes(text: str, kind: str) -> list[str]:
    """The lines of all code boxes of a kind, as a shell would get them."""
    return [
        line for box in re.findall(rf"```{kind}\n(.*?)```", text, re.S) for line in box.splitlines() if line
    ]


def calls(line: str) -> list[list[str]]:
    """The maevid commands of a shell line, each as a list of words, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    found: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word[0] in "|;&<>":
            starts = [n for n, w in enumerate(words) if w == "maevid"]
            if starts:
                found.append(words[starts[0] + 1 :])
            words = []
        else:
            words.append(word)
    return found


def prose(text: str) -> str:
    """A page without its boxes, and without code that names another command or program."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    others = "|".join(["pip", "python", *COMMANDS])
    return re.sub(rf"`(?:maevid )?(?:{others}) [^`]*`|\]\([^)]*\)|^    .*$", "", text, flags=re.M)


def test_every_command_has_a_page_and_stands_in_the_list():
    listed = set(re.findall(r"\]\((\w+)\.md\)", (FOLDER / "README.md").read_text()))
    assert listed == set(COMMANDS) == {path.stem for path in FOLDER.glob("*.md")} - {"README"}


@pytest.mark.parametrize("command", COMMANDS)
def test_page_and_parser_name_the_same_options(command):
    known = {name for action in parser_of(command)._actions for name in action.option_strings}
    named = set(OPTION.findall(prose(page(command))))
    assert named - known == set()
    assert known - named - {"-h", "--help"} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_and_arguments_stand_on_the_page(command):
    rows = [line for line in page(command).splitlines() if line.startswith("|")]
    for action in parser_of(command)._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        name = action.option_strings[-1] if action.option_strings else action.dest.upper()
        row = next((r for r in rows if re.search(rf"`{name}[ `]", r.split("|")[1])), None)
        assert row is not None, f"{name} has no row in a table"
        if action.default is not None and action.default is not False and action.default != []:
            assert str(action.default) in row, f"{name}: its default is {action.default}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_is_a_command_that_parses(command):
    text = page(command)
    lines = [*boxes(text, "sh"), *boxes(text, "console")]
    found = [words for line in lines for words in calls(line)]
    assert sum(words[0] == command for words in found) >= (1 if command == "codecs" else 2)
    for words in found:
        parser_of(words[0]).parse_args(words[1:])


@pytest.fixture(scope="module")
def folder(hall_frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples take for granted: a video (a part of the hall), a maevid file of it, and small pictures."""
    made = tmp_path_factory.mktemp("examples")
    with av.open(str(made / "in.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "12"})
        stream.width, stream.height = 240, 144
        for frame in hall_frames:
            luma, chroma = (slice(36, None), slice(80, None)), (slice(18, None), slice(40, None))
            planes = np.concatenate([frame.y[luma].ravel(), frame.u[chroma].ravel(), frame.v[chroma].ravel()])
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(planes.reshape(216, 240), format="yuv420p"))
            )
        container.mux(stream.encode())
    assert main(["compress", str(made / "in.mp4"), str(made / "out.mkv"), "-b", "200k"]) == 0
    (made / "pictures").mkdir()
    rng = np.random.default_rng(1)
    for number in range(4):
        picture = rng.integers(0, 256, (6, 6, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        Image.fromarray(picture).save(made / "pictures" / f"{number}.png")
    return made


@pytest.mark.parametrize("command", [name for name in COMMANDS if boxes(page(name), "sh")])
def test_examples_run(command, folder, monkeypatch, capsys):
    for package in NEEDS.get(command, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(folder)
    for line in boxes(page(command), "sh"):
        if "|" in line:
            run_in_shell(line)
            continue
        (words,) = calls(line)
        assert main(words) == 0, (line, capsys.readouterr().err)


def run_in_shell(line: str) -> None:
    """A pipe, with this Python's maevid and all failures seen."""
    python = shlex.quote(sys.executable)
    script = (
        f'set -o pipefail; maevid() {{ {python} -m maevid "$@"; }}; python() {{ {python} "$@"; }}; {line}'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere():
    for path in [*FOLDER.glob("*.md"), *FOLDER.parent.glob("*.md"), FOLDER.parents[1] / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
