"""A cluster of real processes writes the file of one machine, byte for byte, also when one of them is killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest

from maevid.cli import main
from maevid.codec.interface import CodecOptions
from maevid.errors import MaevidError, ModelError
from maevid.pipeline.compress import CompressOptions, compress
from maevid.pipeline.events import Event, Note, Phase, PhaseChanged, Totals
from maevid.rate import RateRequest, parse_zone
from maevid.report import FrameReport

distributed = pytest.importorskip("distributed", reason="needs Dask: pip install 'maevid[cluster]'")

GOLDEN = Path(__file__).parents[1] / "golden" / "mae" / "golden.safetensors"
FRAMES = 60


class Crew:
    """A scheduler and three workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port=0", f"--scheduler-file={self.file}")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments, "--host=127.0.0.1", "--no-dashboard"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def ready(self) -> str:
        """The scheduler's address, once three workers are there."""
        while not self.file.exists():
            assert self.scheduler.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        self.workers = [w for w in self.workers if w.poll() is None]
        while len(self.workers) < 3:
            # Without a nanny: a worker that is killed stays away.
            new = self._start("worker", f"--scheduler-file={self.file}", "--nthreads=1", "--no-nanny")
            self.workers.append(new)
        with distributed.Client(scheduler_file=str(self.file), set_as_default=False) as client:
            client.wait_for_workers(3, timeout=120)
            return client.scheduler.address

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    crew = Crew(tmp_path_factory.mktemp("crew"))
    try:
        yield crew
    finally:
        crew.close()


@pytest.fixture(scope="module")
def clip(bunny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bunny at 96×64, sound and all."""
    path = tmp_path_factory.mktemp("clip") / "small.mkv"
    with av.open(str(bunny)) as source, av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25, width=96, height=64)
        sound = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.stream.type == "audio" and packet.dts is not None:
                packet.stream = sound
                out.mux(packet)
            elif packet.stream.type == "video":
                for frame in packet.decode():
                    out.mux(video.encode(frame.reformat(96, 64, "yuv420p")))
        out.mux(video.encode(None))
    return path


def job(clip: Path, out: Path, cluster: str | None = None, **more: object) -> CompressOptions:
    request = RateRequest(**more)
    options = CodecOptions(device="cpu")
    return CompressOptions(
        str(clip),
        str(out),
        request,
        codec_options=options,
        measure=request.psnr is not None,
        cluster=cluster,
    )


def told(events: list[Event]) -> list[Event]:
    """Events without what differs from run to run and from machine to machine: times, paths, devices."""
    kept = []
    for event in events:
        if isinstance(event, FrameReport):
            kept.append(replace(event, stage_seconds={}))
        elif isinstance(event, Totals):
            kept.append(replace(event, output="", device=""))
        else:
            kept.append(event)
    return kept


REQUESTS = {
    "quality": {"quality": 40, "zones": (parse_zone("7-20:quality=70"),)},
    "bitrate": {"bitrate": 100_000},
    "size": {"size": 40_000},
    "psnr": {"psnr": 34.0},
    "peak": {"bitrate": 100_000, "maxrate": 110_000, "bufsize": 30_000},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_file_is_that_of_one_machine(
    name: str, crew: Crew, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone, together = tmp_path / "a.mkv", tmp_path / "b.mkv"
    expected: list[Event] = []
    events: list[Event] = []
    compress(job(clip, alone, **REQUESTS[name]), expected.append)
    with caplog.at_level(logging.INFO, logger="maevid.cluster"):
        compress(job(clip, together, crew.ready(), **REQUESTS[name]), events.append)
    assert together.read_bytes() == alone.read_bytes()
    assert told(events) == told(expected)
    assert "3 workers of tcp://" in next(e.device for e in events if isinstance(e, Totals))
    (orders,) = (int(r.getMessage().split(" orders")[0].split()[-1]) for r in caplog.records)
    # Guesses are good: nothing is coded in vain at a constant rate, and no frame three times on the way to a target.
    assert orders == FRAMES if name == "quality" else FRAMES < orders < 3.5 * FRAMES


def test_what_a_killed_worker_had_is_coded_by_others(crew: Crew, clip: Path, tmp_path: Path) -> None:
    """It is stopped when the first frames are out, so that it takes frames and answers nothing, and then killed.

    At a constant rate no frame is sent twice, so that the job cannot end before.
    """
    alone, together = tmp_path / "a.mkv", tmp_path / "b.mkv"
    address = crew.ready()
    compress(job(clip, alone, quality=40))
    victim = crew.workers[0]
    notes: list[str] = []
    killed = threading.Timer(1.5, victim.kill)

    def listen(event: Event) -> None:
        if isinstance(event, PhaseChanged) and event.phase is Phase.ENCODE:
            victim.send_signal(signal.SIGSTOP)
            killed.start()
        elif isinstance(event, Note):
            notes.append(event.text)

    compress(job(clip, together, address, quality=40), listen)
    killed.join()
    assert victim.wait() == -signal.SIGKILL
    assert together.read_bytes() == alone.read_bytes()
    assert any("is gone: the others code its frames" in note for note in notes)


@pytest.mark.parametrize("first_on_cluster", [True, False])
def test_each_goes_on_with_what_the_other_has_begun(
    first_on_cluster: bool, crew: Crew, clip: Path, tmp_path: Path
) -> None:
    alone, out = tmp_path / "alone.mkv", tmp_path / "out.mkv"
    compress(job(clip, alone, bitrate=100_000))
    begun, ended = (crew.ready(), None) if first_on_cluster else (None, crew.ready())
    reports: list[FrameReport] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, FrameReport):
            reports.append(event)
            if len(reports) == 9:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="--resume"):
        compress(job(clip, out, begun, bitrate=100_000), interrupt)
    assert not out.exists()
    events: list[Event] = []
    compress(replace(job(clip, out, ended, bitrate=100_000), resume=True), events.append)
    assert any(isinstance(e, Note) and "frames are coded already" in e.text for e in events)
    assert out.read_bytes() == alone.read_bytes()


def test_weights_of_the_clients_own_are_sent(crew: Crew, clip: Path, tmp_path: Path) -> None:
    options = CodecOptions("cpu", weights=GOLDEN)
    alone, together = tmp_path / "a.mkv", tmp_path / "b.mkv"
    compress(replace(job(clip, alone, quality=40), codec_options=options))
    compress(replace(job(clip, together, crew.ready(), quality=40), codec_options=options))
    assert together.read_bytes() == alone.read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "0.0.9"}, "a worker has maevid 0.1.0, this is 0.0.9"),
        ({"sha256": "ab" * 32}, "other weights of mae, .* instead of abababababababab"),
        ({"probe": "cd" * 32}, "codes a test picture to other bytes"),
    ],
    ids=["version", "weights", "arithmetic"],
)
def test_a_worker_that_would_make_another_file_is_refused(
    changed: dict[str, str], message: str, crew: Crew, mae
) -> None:
    from maevid.cluster.connect import check_workers, connected
    from maevid.cluster.worker import setup_of

    setup = setup_of(mae, CodecOptions("cpu"))
    with connected(crew.ready()) as client:
        check_workers(client, setup, 60)
        with pytest.raises(ModelError, match=message):
            check_workers(client, replace(setup, **changed), 60)


def test_the_command_on_this_machines_cores(clip: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "a.mkv", tmp_path / "b.mkv"
    command = [sys.executable, "-m", "maevid", "compress", str(clip), str(together), "-b", "100k"]
    done = subprocess.run(
        [*command, "--cluster", "local"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"{together}: {FRAMES} frames" in done.stdout
    assert main(["compress", str(clip), str(alone), "-b", "100k"]) == 0
    assert together.read_bytes() == alone.read_bytes()


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit code and the only line of standard error."""
    began = time.monotonic()
    code = main(["compress", *map(str, arguments)])
    assert time.monotonic() - began < 30
    (line,) = capsys.readouterr().err.splitlines()
    return code, line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--frame-bytes", "900", "--cluster", "local"), "leave out --cluster"),
        (("-b", "100k", "--passes", "1", "--cluster", "local"), "one pass steers by every packet"),
        (("--dry-run", "--cluster", "local"), "leave out --cluster"),
        (("--cluster", "there"), "the address of a Dask scheduler, tcp://HOST:8786, not there"),
        (("--cluster", "http://there:1"), "not http://there:1"),
    ],
)
def test_what_a_cluster_cannot_do_is_said_before_any_work(
    arguments: tuple[str, ...], message: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = refused(capsys, clip, tmp_path / "o.mkv", *arguments)
    assert code == 2
    assert message in line
    assert os.listdir(tmp_path) == []


def test_nobody_there_is_one_line_and_the_output_stays(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.mkv"
    out.write_bytes(b"precious")
    assert refused(capsys, clip, out, "--cluster", "tcp://127.0.0.1:1") == (
        1,
        "maevid: no Dask scheduler answers at tcp://127.0.0.1:1",
    )
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty:
        code, line = refused(capsys, clip, out, "--cluster", empty.scheduler_address)
    assert code == 1
    assert "has no workers" in line
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, line = refused(capsys, clip, out, "--cluster", "local")
    assert code == 2
    assert "pip install 'maevid[cluster]'" in line
    assert out.read_bytes() == b"precious"


def test_a_job_without_workers_ends_with_one_line(clip: Path, tmp_path: Path, crew: Crew) -> None:
    """All are stopped when the first frames are out, and killed."""
    from maevid.cluster import pool

    address = crew.ready()
    out = tmp_path / "o.mkv"
    out.write_bytes(b"precious")

    def listen(event: Event) -> None:
        if isinstance(event, PhaseChanged) and event.phase is Phase.ENCODE:
            for worker in crew.workers:
                worker.kill()

    patience, pool.PATIENCE_SECONDS = pool.PATIENCE_SECONDS, 2.0
    try:
        with pytest.raises(MaevidError, match="has had no worker for 2 seconds"):
            compress(job(clip, out, address, bitrate=100_000), listen)
    finally:
        pool.PATIENCE_SECONDS = patience
    assert out.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["o.mkv"]
