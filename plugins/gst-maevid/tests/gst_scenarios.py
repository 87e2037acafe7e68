"""Pipelines driven from Python, as a program of its own for the system's Python; prints what it saw as JSON.

    python gst_scenarios.py

Each scenario gives a dictionary.
"""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

MS = Gst.MSECOND
SOURCE = "videotestsrc name=source pattern=ball"
COMMON = "video/x-raw,format=I420,width={},height={},framerate={}"


class Run:
    """A pipeline, what passed its pads, and what its bus said."""

    def __init__(self, description: str) -> None:
        self.pipeline = Gst.parse_launch(description)
        self.bus = self.pipeline.get_bus()
        self.messages: list[dict[str, str]] = []

    def element(self, name: str) -> Any:
        return self.pipeline.get_by_name(name)

    def record(
        self, name: str, pad: str = "src", then: Callable[[int], None] | None = None
    ) -> list[dict[str, int]]:
        """What buffers pass a pad: times in nanoseconds (-1: none) and bytes. ``then`` gets each one's number."""
        seen: list[dict[str, int]] = []

        def look(_pad: Any, info: Any) -> Any:
            buffer = info.get_buffer()
            pts, duration = (-1 if t == Gst.CLOCK_TIME_NONE else t for t in (buffer.pts, buffer.duration))
            seen.append({"pts": pts, "duration": duration, "size": buffer.get_size()})
            if then is not None:
                then(len(seen) - 1)
            return Gst.PadProbeReturn.OK

        self.element(name).get_static_pad(pad).add_probe(Gst.PadProbeType.BUFFER, look)
        return seen

    def until_the_end(self, seconds: int = 120) -> str:
        """Play; returns ``eos``, ``error`` or ``nothing``. Warnings and errors go to ``messages``."""
        self.pipeline.set_state(Gst.State.PLAYING)
        kinds = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING
        while True:
            message = self.bus.timed_pop_filtered(seconds * Gst.SECOND, kinds)
            if message is None:
                return "nothing"
            if message.type == Gst.MessageType.EOS:
                return "eos"
            is_error = message.type == Gst.MessageType.ERROR
            error, _ = message.parse_error() if is_error else message.parse_warning()
            self.messages.append({"from": message.src.get_name(), "text": error.message})
            if is_error:
                return "error"

    def caps(self, name: str) -> str:
        return self.element(name).get_static_pad("src").get_current_caps().to_string()

    def stop(self) -> None:
        self.pipeline.set_state(Gst.State.NULL)


def packets_of(sink: Any) -> list[bytes]:
    """Everything that a fakesink with handoffs will get."""
    kept: list[bytes] = []
    sink.set_property("signal-handoffs", True)
    sink.connect("handoff", lambda _sink, buffer, _pad: kept.append(buffer.extract_dup(0, buffer.get_size())))
    return kept


def times() -> dict[str, Any]:
    """Odd sides, an odd rate, a first picture that is not at 0."""
    run = Run(
        f"{SOURCE} num-buffers=8 timestamp-offset=70000000 ! {COMMON.format(33, 17, '30000/1001')} "
        "! maevidenc name=enc quality=40 ! maeviddec name=dec ! fakesink"
    )
    seen = {name: run.record(name) for name in ("source", "enc", "dec")}
    end = run.until_the_end()
    caps = {name: run.caps(name) for name in ("enc", "dec")}
    run.stop()
    return {"end": end, "messages": run.messages, **seen, "caps": caps}


def live_change() -> dict[str, Any]:
    """A bitrate that is trebled, then a quality, all while it plays: 60 pictures of each."""
    run = Run(
        f"{SOURCE} pattern=smpte horizontal-speed=1 num-buffers=180 ! {COMMON.format(96, 64, '30/1')} "
        "! maevidenc name=enc bitrate=150000 ! fakesink"
    )
    encoder = run.element("enc")

    def steer(number: int) -> None:
        if number == 60:
            encoder.set_property("bitrate", 450_000)
        elif number == 120:
            encoder.set_property("quality", 20.0)
            encoder.set_property("bitrate", 0)

    run.record("enc", "sink", steer)
    seen = run.record("enc")
    end = run.until_the_end()
    run.stop()
    return {"end": end, "messages": run.messages, "enc": seen}


def flush() -> dict[str, Any]:
    """A flushing seek while pictures are held back, then to the end."""
    run = Run(
        f"{SOURCE} num-buffers=40 ! {COMMON.format(64, 48, '25/1')} ! maevidenc name=enc bitrate=200000 "
        "! maeviddec name=dec ! fakesink name=sink"
    )
    seen = run.record("dec")
    run.pipeline.set_state(Gst.State.PAUSED)
    run.pipeline.get_state(60 * Gst.SECOND)
    before = len(seen)
    sought = run.pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE, 800 * MS)
    end = run.until_the_end()
    run.stop()
    return {"end": end, "messages": run.messages, "sought": sought, "before": before, "dec": seen}


def latency() -> dict[str, Any]:
    """A live source: the encoder tells how long it holds pictures back."""
    told = []
    for target in ("bitrate=200000", "quality=30"):
        run = Run(
            f"{SOURCE} is-live=true num-buffers=5 ! {COMMON.format(32, 32, '25/1')} "
            f"! maevidenc name=enc {target} ! fakesink sync=false"
        )
        run.until_the_end()
        query = Gst.Query.new_latency()
        run.element("enc").get_static_pad("src").query(query)
        told.append(query.parse_latency()[1])
        query = Gst.Query.new_latency()
        run.element("source").get_static_pad("src").query(query)
        told.append(query.parse_latency()[1])
        run.stop()
    return {"with_bitrate": told[0] - told[1], "with_quality": told[2] - told[3]}


def feed(description: str, caps: str, buffers: list[bytes]) -> tuple[Run, str, list[dict[str, int]]]:
    """Buffers without times, by way of an appsrc, through ``description`` with an element ``out``."""
    run = Run(f"appsrc name=in format=time ! {description} ! fakesink")
    source = run.element("in")
    source.set_property("caps", Gst.Caps.from_string(caps))
    seen = run.record("out")
    run.pipeline.set_state(Gst.State.PLAYING)
    for data in buffers:
        source.emit("push-buffer", Gst.Buffer.new_wrapped(data) if data else Gst.Buffer.new())
    source.emit("end-of-stream")
    end = run.until_the_end()
    run.stop()
    return run, end, seen


def damage() -> dict[str, Any]:
    """Packets that are damaged, or of a picture of another size, between good ones; then caps of other weights."""
    run = Run(
        f"{SOURCE} num-buffers=5 ! {COMMON.format(48, 32, '25/1')} ! maevidenc name=enc quality=50 ! fakesink name=sink"
    )
    packets = packets_of(run.element("sink"))
    run.until_the_end()
    caps = run.caps("enc")
    run.stop()
    bad = bytearray(packets[1])
    bad[-2] ^= 0xFF
    found: dict[str, Any] = {}
    cases = {
        "damaged": (caps, [packets[0], bytes(bad), b"", *packets[2:]]),
        "other size": (caps.replace("width=(int)48", "width=(int)64"), packets),
        "other weights": (caps.replace("model=(string)", "model=(string)0"), packets),
        "newer": (caps.replace("version=(int)1", "version=(int)2"), packets),
        "unknown codec": (caps.replace("codec=(string)mae", "codec=(string)none"), packets),
        "bare": ("video/x-maevid,width=48,height=32,framerate=25/1", packets),
    }
    for name, (given, data) in cases.items():
        run, end, seen = feed("maeviddec name=out", given, data)
        found[name] = {"end": end, "messages": run.messages, "pictures": len(seen)}
    return found


def raw_without_times() -> dict[str, Any]:
    """Pictures without times, with a frame rate and without one; and one that is too short."""
    picture = bytes(48 * 32 * 3 // 2)
    found: dict[str, Any] = {}
    for name, rate, data in (
        ("numbered", "25/1", [picture] * 6),
        ("no rate", "0/1", [picture] * 2),
        ("short", "25/1", [picture[:-1]]),
    ):
        run, end, seen = feed("maevidenc bitrate=100000 name=out", COMMON.format(48, 32, rate), data)
        found[name] = {"end": end, "messages": run.messages, "out": seen}
    return found


def wrong_settings() -> dict[str, Any]:
    """Settings that make no sense: an error on the bus, and the next pipeline works as if nothing had been."""
    found: dict[str, Any] = {}
    for setting in ("weights=/nowhere/x.safetensors", "codec=none", "device=tpu", "quality=30"):
        run = Run(
            f"{SOURCE} num-buffers=2 ! {COMMON.format(32, 32, '25/1')} ! maevidenc {setting} ! fakesink"
        )
        end = run.until_the_end()
        run.stop()
        found[setting] = {"end": end, "messages": run.messages}
    return found


def freed() -> dict[str, Any]:
    """Whether elements go when their pipeline goes."""
    left = []
    for _ in range(3):
        run = Run(
            f"{SOURCE} num-buffers=2 ! {COMMON.format(32, 32, '25/1')} ! maevidenc name=enc bitrate=90000 "
            "! maeviddec name=dec ! fakesink"
        )
        left += [weakref.ref(run.element(name).srcpad) for name in ("enc", "dec")]
        end = run.until_the_end()
        run.stop()
        del run
        gc.collect()
    return {"end": end, "left": sum(reference() is not None for reference in left)}


if __name__ == "__main__":
    Gst.init(None)
    scenarios = (times, live_change, flush, latency, damage, raw_without_times, wrong_settings, freed)
    print(json.dumps({scenario.__name__: scenario() for scenario in scenarios}))
