"""The plugin, installed for real into a fresh folder: pipelines of ``gst-launch-1.0``, and some driven from Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maevid as package
from maevid.access.codecs import Device
from maevid.codec.interface import CodecOptions, FrameCodec
from maevid.codec.registry import open_codec
from maevid.errors import InputError
from maevid.stream.packet import Packet, read_header
from maevid.video.frame import Frame
from maevid.video.reader import VideoReader

PLUGIN = Path(__file__).parents[1]
ROOT = PLUGIN.parents[1]
SYSTEM_PYTHON = Path("/usr/bin/python3")
SOURCE = "videotestsrc num-buffers=20 ! video/x-raw,format=I420,width=160,height=120"
ASKED = 1_000_000


def why_not() -> str:
    """Why GStreamer cannot run the plugin here; empty where it can."""
    if shutil.which("gst-launch-1.0") is None:
        return "gst-launch-1.0 is not installed here"
    if not SYSTEM_PYTHON.exists():
        return f"GStreamer's bindings are looked for in {SYSTEM_PYTHON}, which is not there"
    code = (
        "import sys, gi; gi.require_version('Gst', '1.0'); gi.require_version('GstVideo', '1.0');"
        "from gi.repository import Gst, GstVideo; Gst.init(None);"
        "assert Gst.Fraction(1, 2).num == 1 and Gst.Registry.get().find_plugin('python');"
        "print(*sys.version_info[:2])"
    )
    done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"GStreamer's Python bindings or its loader of Python plugins are missing: {done.stderr.strip()[-200:]}"
    theirs = tuple(map(int, done.stdout.split()))
    ours = sys.version_info[:2]
    return "" if theirs == ours else f"GStreamer has Python {theirs}, maevid is installed for Python {ours}"


REASON = why_not()
needs_gstreamer = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture(scope="module")
def environment(site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a shell has that installed the package: the folder, maevid, what both need, and this Python in front."""
    folders = [site, Path(package.__file__).parents[1], sysconfig.get_path("purelib")]
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "GST_REGISTRY": str(tmp_path_factory.mktemp("registry") / "registry.bin"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def exported(environment: dict[str, str]) -> dict[str, str]:
    """That, and what ``python -m gst_maevid`` tells it."""
    done = subprocess.run(
        ["bash", "-c", 'eval "$(python -m gst_maevid)"; env -0'],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.fixture(scope="module")
def mae() -> FrameCodec:
    """The codec that ships."""
    return open_codec("mae", CodecOptions(device="cpu"))


@pytest.fixture
def installed(site: Path) -> Iterator[None]:
    """The installed package for this process."""
    sys.path.insert(0, str(site))
    yield
    sys.path.remove(str(site))


def launch(environment: dict[str, str], pipeline: str) -> subprocess.CompletedProcess[str]:
    command = ["gst-launch-1.0", *pipeline.split()]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Lines on standard error, but for what PyGObject lets every element in Python say."""
    return [line for line in done.stderr.splitlines() if line and "should be floating" not in line]


def packets_in(data: bytes) -> list[Packet]:
    """The packets of a stream without any container."""
    packets = []
    while data:
        size = read_header(data).packet_bytes
        packets.append(Packet.from_bytes(data[:size]))
        data = data[size:]
    return packets


def planes_in(data: bytes, width: int, height: int) -> list[tuple[np.ndarray, ...]]:
    """Pictures of dense I420."""
    luma = width * height
    pictures = np.frombuffer(data, np.uint8).reshape(-1, luma * 3 // 2)
    half = (height // 2, width // 2)
    return [
        (
            p[:luma].reshape(height, width),
            p[luma : luma * 5 // 4].reshape(half),
            p[luma * 5 // 4 :].reshape(half),
        )
        for p in pictures
    ]


@needs_gstreamer
def test_there_and_back(exported, tmp_path, mae):
    """Source, packets and decoded pictures of one run, side by side."""
    source, coded, back = (tmp_path / name for name in ("source", "coded", "back"))
    done = launch(
        exported,
        f"{SOURCE} ! tee name=raw ! queue ! filesink location={source} "
        f"raw. ! queue ! maevidenc bitrate={ASKED} ! tee name=packets ! queue ! filesink location={coded} "
        f"packets. ! queue ! maeviddec ! filesink location={back}",
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done) == []
    packets = packets_in(coded.read_bytes())
    assert [p.pts for p in packets] == [n * 10**9 // 30 for n in range(20)]
    assert 8 * len(coded.read_bytes()) / (20 / 30) == pytest.approx(ASKED, rel=0.03)
    before = planes_in(source.read_bytes(), 160, 120)
    after = planes_in(back.read_bytes(), 160, 120)
    assert len(before) == len(after) == 20
    for plane, floor in zip(range(3), (30, 33, 33), strict=True):
        pairs = zip(before, after, strict=True)
        error = np.mean([np.square(a[plane].astype(float) - b[plane]).mean() for a, b in pairs])
        assert 10 * np.log10(255**2 / error) > floor
    for found, wanted in zip(after[7], mae.decode(packets[7]), strict=True):
        assert np.abs(found.astype(int) - wanted).max() <= 1, "as maevid itself decodes it"


@needs_gstreamer
def test_readme_example_runs(environment):
    example = re.search(r"```sh\n(.*?)```", (PLUGIN / "README.md").read_text(), re.S)
    assert example is not None
    done = subprocess.run(
        ["bash", "-e", "-c", example[1]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Got EOS" in done.stdout


@needs_gstreamer
def test_matroskamux_does_not_take_it(exported):
    """What the README says; should a GStreamer take it one day, the README must say so."""
    done = launch(exported, f"{SOURCE} ! maevidenc ! matroskamux ! fakesink")
    assert done.returncode != 0
    assert "could not link maevidenc0 to matroskamux0" in done.stderr


@pytest.fixture(scope="module")
def seen(exported) -> dict[str, Any]:
    """What the pipelines of ``gst_scenarios.py`` did."""
    script = Path(__file__).with_name("gst_scenarios.py")
    done = subprocess.run(
        [SYSTEM_PYTHON, script], env=exported, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_gstreamer
def test_times_and_caps(seen):
    times = seen["times"]
    assert (times["end"], times["messages"]) == ("eos", [])
    moments = [[(b["pts"], b["duration"]) for b in times[name]] for name in ("source", "enc", "dec")]
    assert moments[0] == moments[1] == moments[2]
    assert moments[0][0][0] == 70_000_000
    assert len(moments[0]) == 8
    assert {b["size"] for b in times["dec"]} == {36 * 18 + 2 * 20 * 9}, "rows of 33 and 17 on whole strides"
    for field in ("width=(int)33", "height=(int)17", "framerate=(fraction)30000/1001", "progressive"):
        assert field in times["caps"]["enc"]
        assert field in times["caps"]["dec"]
    assert times["caps"]["enc"].startswith("video/x-maevid")
    assert re.search(
        r"version=\(int\)1, codec=\(string\)mae, model=\(string\)[0-9a-f]{8}\b", times["caps"]["enc"]
    )
    assert "format=(string)I420" in times["caps"]["dec"]
    assert "model" not in times["caps"]["dec"]


@needs_gstreamer
def test_the_bitrate_changes_while_it_plays(seen):
    change = seen["live_change"]
    assert (change["end"], change["messages"]) == ("eos", [])
    sizes = [b["size"] for b in change["enc"]]
    assert len(sizes) == 180

    def rate(first: int, last: int) -> float:
        return sum(sizes[first:last]) * 8 * 30 / (last - first)

    assert rate(0, 60) == pytest.approx(150_000, rel=0.04)
    assert rate(60, 120) > 330_000
    assert rate(85, 120) == pytest.approx(450_000, rel=0.15)
    assert rate(120, 180) < 130_000, "quality 20"


@needs_gstreamer
def test_a_flush_drops_what_is_held_back(seen):
    flush = seen["flush"]
    assert flush["sought"]
    assert (flush["end"], flush["messages"]) == ("eos", [])
    after = [b["pts"] for b in flush["dec"][flush["before"] :]]
    assert after == [800_000_000 + 40_000_000 * n for n in range(len(after))]
    assert len(after) > 30


@needs_gstreamer
def test_latency_is_what_is_held_back(seen):
    assert seen["latency"] == {"with_bitrate": 3 * 40_000_000, "with_quality": 0}


@needs_gstreamer
def test_damaged_packets_cost_their_pictures(seen):
    damage = seen["damage"]
    damaged = damage["damaged"]
    assert (damaged["end"], damaged["pictures"]) == ("eos", 4)
    texts = [m["text"] for m in damaged["messages"]]
    assert len(texts) == 2
    assert all(text.startswith("a picture was left out: packet ") for text in texts)
    other = damage["other size"]
    assert (other["end"], other["pictures"], len(other["messages"])) == ("eos", 0, 5)
    assert other["messages"][0]["text"].endswith("the packet's picture is 48x32, the stream's are 64x32")
    assert damage["bare"] == {"end": "eos", "messages": [], "pictures": 5}


@needs_gstreamer
@pytest.mark.parametrize(
    ("scenario", "case", "line"),
    [
        ("damage", "other weights", "the stream was made with weights 0"),
        ("damage", "newer", "the stream has format version 2, this maevid reads version 1"),
        ("damage", "unknown codec", "no codec 'none' is installed"),
        (
            "raw_without_times",
            "no rate",
            "a picture has no time, and the stream no frame rate to number it by",
        ),
        ("raw_without_times", "short", "a buffer of 2303 bytes cannot hold a picture of 2304"),
        (
            "wrong_settings",
            "weights=/nowhere/x.safetensors",
            "/nowhere/x.safetensors: not a usable model file",
        ),
        ("wrong_settings", "codec=none", "no codec 'none' is installed"),
        ("wrong_settings", "device=tpu", "unknown device 'tpu'"),
    ],
)
def test_errors_are_one_line_of_the_element(seen, scenario, case, line):
    found = seen[scenario][case]
    assert found["end"] == "error"
    first = found["messages"][0]
    assert first["from"].startswith(("maevid", "out"))
    assert first["text"].startswith(line)
    assert "\n" not in first["text"]


@needs_gstreamer
def test_elements_go_with_their_pipeline(seen):
    assert seen["freed"] == {"end": "eos", "left": 0}


@needs_gstreamer
def test_pictures_without_times_are_numbered(seen):
    numbered = seen["raw_without_times"]["numbered"]
    assert (numbered["end"], numbered["messages"]) == ("eos", [])
    assert [(b["pts"], b["duration"]) for b in numbered["out"]] == [
        (40_000_000 * n, 40_000_000) for n in range(6)
    ]
    assert seen["wrong_settings"]["quality=30"] == {"end": "eos", "messages": []}


def test_padded_rows(installed):
    """GStreamer's own numbers for 33×17, as ``test_times_and_caps`` sees them."""
    from gst_maevid.raw import Layout

    layout = Layout.of(33, 17, [36, 20, 20, 0], [0, 648, 828, 0], 1008)
    rng = np.random.default_rng(3)
    planes = tuple(rng.integers(0, 256, shape, np.uint8) for shape in layout.shapes)
    data = layout.buffer(planes)
    assert len(data) == 1008
    for found, wanted in zip(layout.planes(data), planes, strict=True):
        assert (found == wanted).all()
    assert data[33:36] == bytes(3)
    assert data[828] == planes[2][0, 0]
    with pytest.raises(InputError, match="1007 bytes cannot hold a picture of 1008"):
        layout.planes(data[:-1])


def test_targets_of_the_live_encoder(installed, mae):
    from gst_maevid.live import LiveEncoder, Target

    with VideoReader(ROOT / "tests" / "assets" / "hall_320x180.mkv") as reader:
        pictures = [frame.planes for frame in reader][:5]
    frames = [Frame(*planes, n * 40, Fraction(1, 1000), 40) for n, planes in enumerate(pictures)]
    steady = LiveEncoder(mae, Device("cpu"), Target(0, 20.0))
    assert steady.delay == 0
    (packet,) = steady.push(frames[0])
    assert packet.rate_index == 51
    assert not steady.retarget(Target(200_000, 0.0))
    assert steady.retarget(Target(0, 20.0))
    live = LiveEncoder(mae, Device("cpu"), Target(200_000, 0.0))
    assert [len(live.push(frame)) for frame in frames] == [0, 0, 0, 1, 1]
    assert live.retarget(Target(300_000, 0.0))
    assert [p.pts for p in live.finish()] == [80, 120, 160]


@pytest.mark.parametrize(
    ("program", "line"),
    [
        (None, "has no PyGObject: apt install python3-gi python3-gst-1.0"),
        (
            "#!/bin/sh\necho 3 6; echo /usr/lib/python3/dist-packages/gi/__init__.py\n",
            "GStreamer has Python 3.6, ",
        ),
    ],
)
def test_an_environment_that_does_not_fit(installed, monkeypatch, tmp_path, program, line):
    """A system without the bindings, and one whose Python is of another version."""
    from gst_maevid import __main__ as main

    python = tmp_path / "python3"
    if program is not None:
        python.write_text(program)
        python.chmod(0o755)
    monkeypatch.setattr(main, "SYSTEM_PYTHON", python)
    monkeypatch.setattr(main, "find_spec", lambda name: None)
    with pytest.raises(LookupError, match=re.escape(line)):
        main.exports()
