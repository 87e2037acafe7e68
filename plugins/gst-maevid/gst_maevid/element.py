"""What the two elements share: a pad on either side, events kept in their order, and errors as one line on the bus."""

from __future__ import annotations

from typing import Any, Protocol

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")

from gi.repository import GLib, GObject, Gst, GstVideo  # noqa: E402

from gst_maevid.raw import Layout  # noqa: E402
from maevid.errors import MaevidError  # noqa: E402

MEDIA_TYPE = "video/x-maevid"
OWN_FIELDS = ("version", "codec", "model", "weights")
"""What the caps of a coded stream have beside those of its pictures."""
VERSION = 1
SIDES = "width=(int)[1,65535],height=(int)[1,65535],framerate=(fraction)[0,max]"


def template(name: str, direction: Gst.PadDirection, caps: str) -> Gst.PadTemplate:
    """A pad that is always there."""
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(caps))


def text_property(default: str, blurb: str) -> Any:
    """A property that is a text and is looked at when caps arrive."""
    return GObject.Property(type=str, default=default, blurb=blurb, flags=GObject.ParamFlags.READWRITE)


def layout_of(caps: Gst.Caps) -> Layout:
    """Where the samples lie in buffers of these raw caps."""
    info = GstVideo.VideoInfo.new_from_caps(caps)
    return Layout.of(info.width, info.height, info.stride, info.offset, info.size)


def renamed(caps: Gst.Caps, name: str, **values: Any) -> Gst.Caps:
    """The first structure of ``caps`` under another name and with other values; None takes a field out."""
    structure = caps.get_structure(0).copy()
    structure.set_name(name)
    for field, value in values.items():
        if value is None:
            structure.remove_field(field)
        else:
            structure.set_value(field, value)
    changed = Gst.Caps.new_empty()
    changed.append_structure(structure)
    return changed


class Work(Protocol):
    """What an element does; whatever it raises ends on the bus as one error message."""

    def start(self, caps: Gst.Caps) -> Gst.Caps:
        """Buffers of these caps follow: returns the caps of what comes of them."""

    def take(self, buffer: Gst.Buffer) -> Gst.FlowReturn:
        """A buffer has come."""

    def drain(self) -> Gst.FlowReturn:
        """Push all that is held back; buffers may follow."""

    def reset(self) -> None:
        """Forget all that is held back."""


class Pads:
    """The two pads of an element, ``sink`` and ``src``, and the functions that GStreamer calls on them.

    ``error`` is what its messages count as. A class of elements between Gst.Element and the two would be shorter, but
    PyGObject runs ``__init__`` while an element still is of that class, which has no templates.
    """

    def __init__(self, element: Any, error: Gst.StreamError) -> None:
        self._element = element
        self._work: Work = element
        self._error = error
        self.sink, self.src = (
            Gst.Pad.new_from_template(element.get_pad_template(name), name) for name in ("sink", "src")
        )
        self.sink.set_chain_function_full(self._chain)
        self.sink.set_event_function_full(self._event)
        element.add_pad(self.sink)
        element.add_pad(self.src)

    def warn(self, error: MaevidError) -> None:
        """One line on the bus; the pipeline goes on."""
        self._post(Gst.Message.new_warning, error, str(error))

    def _chain(self, _pad: Gst.Pad, _parent: Gst.Object, buffer: Gst.Buffer) -> Gst.FlowReturn:
        try:
            return self._work.take(buffer)
        except Exception as error:
            # One that left here would be printed, and count as success.
            self._fail(error)
            return Gst.FlowReturn.ERROR

    def _event(self, pad: Gst.Pad, parent: Gst.Object, event: Gst.Event) -> bool:
        try:
            if event.type == Gst.EventType.FLUSH_STOP:
                self._work.reset()
            elif Gst.event_type_get_flags(event.type) & Gst.EventTypeFlags.SERIALIZED:
                # It must not overtake the pictures before it.
                self._work.drain()
            if event.type == Gst.EventType.CAPS:
                return bool(self.src.push_event(Gst.Event.new_caps(self._work.start(event.parse_caps()))))
        except Exception as error:
            self._fail(error)
            return False
        return bool(pad.event_default(parent, event))

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, MaevidError)
        self._post(Gst.Message.new_error, error, str(error) if known else f"{type(error).__name__}: {error}")

    def _post(self, make: Any, error: Exception, text: str) -> None:
        line = GLib.Error.new_literal(Gst.StreamError.quark(), " ".join(text.split()), int(self._error))
        self._element.post_message(make(self._element, line, type(error).__name__))
