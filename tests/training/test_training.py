"""Training that goes on exactly where it stopped, skips what is not finite, and runs in several processes."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from maevid.codec.interface import CodecOptions
from maevid.codec.mae import open_mae
from maevid.errors import InputError
from maevid.model.config import CONFIGS
from maevid.training.export import export_run
from maevid.training.footage import sample_frames
from maevid.training.loop import Trainer, TrainingOptions
from maevid.training.pictures import Pictures
from maevid.training.run import STATE_FILE, Progress
from maevid.video.reader import VideoReader

TINY = dataclasses.replace(
    CONFIGS["mae-fast"],
    channels=96,
    latents=32,
    blocks_8=1,
    blocks_16=1,
    width_16=16,
    hyper=16,
    hyper_latents=8,
)
OPTIONS = TrainingOptions(batch=2, crop=64, half=False, compiled=False)


@pytest.fixture
def pictures(bunny: Path, hall: Path, tmp_path: Path) -> Pictures:
    return Pictures([bunny, hall], tmp_path / "cache")


def test_a_resumed_run_is_the_run_that_never_stopped(pictures: Pictures, tmp_path: Path) -> None:
    straight = Trainer(TINY, pictures, tmp_path / "straight", OPTIONS)
    for _ in range(6):
        straight.step()
    straight.save()

    first = Trainer(TINY, pictures, tmp_path / "resumed", OPTIONS)
    for _ in range(3):
        first.step()
    first.save()
    torch.rand(100)
    second = Trainer(TINY, pictures, tmp_path / "resumed", OPTIONS)
    assert second.progress.step == 3
    for _ in range(3):
        second.step()
    second.save()

    expected, found = (load_file(tmp_path / run / STATE_FILE) for run in ("straight", "resumed"))
    assert expected.keys() == found.keys()
    assert any(name.startswith("optimizer.0") for name in expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_model_file_that_a_run_began_with_is_counted(pictures: Pictures, tmp_path: Path) -> None:
    exported = []
    for name, steps in (("first", 2), ("second", 1)):
        start = exported[-1] if exported else None
        trainer = Trainer(TINY, pictures, tmp_path / name, OPTIONS, start)
        for _ in range(steps):
            trainer.step()
        trainer.save()
        exported.append(export_run(tmp_path / name, tmp_path / f"{name}.safetensors"))
    first, second = exported
    assert (first.notes["steps"], second.notes["steps"]) == ("2", "3")
    assert Trainer(TINY, pictures, tmp_path / "second", OPTIONS).progress.earlier_steps == 2
    assert second.sha256 != first.sha256


def test_a_factor_of_the_learning_rates_stays_with_the_run(pictures: Pictures, tmp_path: Path) -> None:
    def rates(trainer: Trainer) -> list[float]:
        trainer.progress.step = 500  # past the warm-up
        trainer.step()
        return [group["lr"] / group["base_lr"] for o in trainer.optimizers for group in o.param_groups]

    halved = Trainer(TINY, pictures, tmp_path / "run", dataclasses.replace(OPTIONS, rate=0.5))
    assert set(rates(halved)) == {0.5}
    halved.save()
    assert set(rates(Trainer(TINY, pictures, tmp_path / "run", OPTIONS))) == {0.5}
    assert set(rates(Trainer(TINY, pictures, tmp_path / "other", OPTIONS))) == {1.0}
    falling = Trainer(TINY, pictures, tmp_path / "run", dataclasses.replace(OPTIONS, decay_steps=100))
    falling.progress.decay_start = 450
    assert set(rates(falling)) == {0.25}


def test_a_step_that_is_not_finite_changes_nothing_but_its_count(pictures: Pictures, tmp_path: Path) -> None:
    trainer = Trainer(TINY, pictures, tmp_path / "run", OPTIONS)
    trainer.step()
    with torch.no_grad():
        trainer.model.analysis.input.weight[0, 0] = float("inf")
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    averages = {k: v.clone() for k, v in trainer.average.weights.items()}
    trainer.step()
    assert trainer.progress.skipped == 1
    assert trainer.progress.step == 2
    for name, values in trainer.model.state_dict().items():
        assert torch.equal(values, before[name]), name
    for name, values in trainer.average.weights.items():
        assert torch.equal(values, averages[name]), name


def test_frames_of_a_clip_are_chosen_once_and_are_the_clips_own(bunny: Path) -> None:
    chosen = sample_frames(bunny, 5)
    assert len(chosen) == 5
    with VideoReader(bunny) as reader:
        all_frames = [frame.y for frame in reader]
    places = [next(i for i, y in enumerate(all_frames) if np.array_equal(y, planes[0])) for planes in chosen]
    assert places == sorted(set(places))
    assert places != list(range(5))
    for again, planes in zip(sample_frames(bunny, 5), chosen, strict=True):
        assert all(map(np.array_equal, again, planes))


def test_one_source_cannot_be_trained_on_and_held_out(bunny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two"):
        Pictures([bunny], tmp_path)


def test_frames_of_one_clip_are_on_one_side(pictures: Pictures) -> None:
    sides = [{e.name.partition("#")[0] for e in part} for part in (pictures.train, pictures.validation)]
    assert all(sides)
    assert not sides[0] & sides[1]


def train(*arguments: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "maevid", "train", *arguments, "--run", str(folder), "--config", "mae-fast"]


SLOW_COPY = """
import sys, time
import maevid.training.run as run
save, log = run.save_file, open(sys.argv[1], "a")
def slow(tensors, path, metadata):
    if not (path.parent / run.STATE_FILE).exists():
        print(path, file=log, flush=True)
        time.sleep(1)
    save(tensors, path, metadata)
run.save_file = slow
from maevid.cli import main
sys.exit(main(sys.argv[2:]))
"""
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def read_progress(run: Path) -> Progress:
    with safe_open(run / STATE_FILE, framework="pt") as stored:
        return Progress(**json.loads(stored.metadata()["progress"]))


def test_a_stopped_process_has_saved_and_its_weights_code_pictures(
    bunny: Path, hall: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    small = ("--batch", "1", "--crop", "64", "--no-compile")
    command = train(str(bunny), str(hall), *small, folder=run)
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "step 50 " in line:
                process.send_signal(signal.SIGTERM)
                break
        process.stderr.read()
    assert process.returncode == 0
    record = [json.loads(line) for line in (run / "validation.jsonl").read_text().splitlines()]
    assert record[-1]["step"] >= 50
    assert len(record[-1]["points"]) == 6

    branch, weights, curve = tmp_path / "branch", tmp_path / "weights.safetensors", tmp_path / "curve.png"
    branching = (*small, "--branch", str(branch), "--decay-steps", "3")
    # In two processes: the first copies the run, and the other finds it copied.
    script, copies = tmp_path / "slow.py", tmp_path / "copies"
    script.write_text(SLOW_COPY)
    command = train(str(bunny), str(hall), *branching, folder=run)[3:]
    # Without -- torchrun takes --run for its own --run-path.
    subprocess.run([*TWO, "--", str(script), str(copies), *command], cwd=tmp_path, check=True)
    assert len(copies.read_text().splitlines()) == 1
    normal = tmp_path / "normal.safetensors"
    subprocess.run(train("--export", str(normal), folder=branch), cwd=tmp_path, check=True)
    subprocess.run(
        train(str(bunny), str(hall), "--export", str(weights), folder=branch), cwd=tmp_path, check=True
    )
    ended = read_progress(branch)
    assert (ended.exact, ended.decay_steps) == (True, 3)
    # From there the run goes on at the held rate, where it would go nowhere as the branch that it was.
    onward = (*small, "--branch", str(tmp_path / "on"), "--decay-steps", "0", "--steps", str(ended.step + 2))
    subprocess.run(train(str(bunny), str(hall), *onward, folder=branch), cwd=tmp_path, check=True)
    going_on = read_progress(tmp_path / "on")
    assert (going_on.step, going_on.exact, going_on.decay_steps) == (ended.step + 2, False, 0)
    # Named the other way round, the held run must not become a branch.
    swapped = train(str(bunny), "--branch", str(run), folder=tmp_path / "none")
    refused = subprocess.run(swapped, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (refused.returncode, read_progress(run).decay_steps) == (1, 0)
    assert "holds no training run" in refused.stderr
    subprocess.run(train("--plot", str(curve), folder=run), cwd=tmp_path, check=True)
    assert curve.read_bytes().startswith(b"\x89PNG")

    codec = open_mae(CodecOptions(device="cpu", weights=weights))
    with VideoReader(hall) as reader:
        frame = next(iter(reader))
    sizes = []
    for index in (60, 180):
        encoded = codec.encode(frame, index)
        y, _, _ = codec.decode(encoded.packet)
        assert np.abs(y.astype(int) - frame.y).mean() < 12
        sizes.append(len(encoded.packet.to_bytes()))
    assert sizes[0] < sizes[1]
    # The same network, whose tables are of another form than its symbols.
    unfitted = open_mae(CodecOptions(device="cpu", weights=normal)).encode(frame, 180)
    assert sizes[1] < 0.998 * len(unfitted.packet.to_bytes())


PEER = """
import hashlib, sys
from pathlib import Path
import torch.distributed as dist
sys.path.insert(0, sys.argv[1])
from test_training import OPTIONS, TINY
from maevid.training.group import Group
from maevid.training.loop import Trainer
from maevid.training.pictures import Pictures
def train(group):
    with group.leader_first():
        pictures = Pictures([Path(p) for p in sys.argv[3:]], Path(sys.argv[2]) / "cache")
    trainer = Trainer(TINY, pictures, Path(sys.argv[2]) / "run", OPTIONS, group=group)
    losses = [trainer.step()["loss"] for _ in range(2)]
    state = b"".join(v.numpy().tobytes() for v in trainer.model.state_dict().values())
    told = [None, None]
    dist.all_gather_object(told, (hashlib.sha256(state).hexdigest(), losses))
    trainer.save()
    if group.leads:
        (hash_0, losses_0), (hash_1, losses_1) = told
        assert hash_0 == hash_1, "weights have drifted apart"
        assert losses_0 != losses_1, "both processes saw the same pictures"
with Group() as group:
    train(group)
# One that lives on into the interpreter's end may abort the process.
threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
assert not [name for name in threads if "gloo" in name], threads
"""


def test_two_processes_train_one_network(bunny: Path, hall: Path, tmp_path: Path) -> None:
    script = tmp_path / "peer.py"
    script.write_text(PEER)
    peer = (script, Path(__file__).parent, tmp_path, bunny, hall)
    began = time.monotonic()
    done = subprocess.run(
        [*TWO, *map(str, peer)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / STATE_FILE).exists()
    assert time.monotonic() - began < 300


def test_the_papers_recipe_trains_measures_and_plots(bunny: Path, hall: Path, tmp_path: Path) -> None:
    """All ten networks, two steps each, from one command; it goes on where it stopped."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with av.open(str(bunny)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")[:64, :64]
    with av.open(str(pictures / "a.png"), "w", format="image2") as out:
        stream = out.add_stream("png", width=64, height=64, pix_fmt="rgb24")
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(first), format="rgb24")))
    plot = tmp_path / "paper.png"
    command = [
        sys.executable,
        "-m",
        "maevid",
        "train",
        str(bunny),
        str(hall),
        "--recipe",
        "paper",
        "--steps",
        "2",
    ]
    command += ["--batch", "1", "--crop", "64", "--no-compile", "--test", str(pictures), "--plot", str(plot)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs" / "paper").glob("*.safetensors")}
    assert len(made) == 10
    curves = json.loads(plot.with_suffix(".json").read_text())["curves"]
    assert [len(curves[name]) for name in ("mae-factorized", "independent-hyperprior-512")] == [5, 1]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert {file: file.stat().st_mtime_ns for file in made} == made
