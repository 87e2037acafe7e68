"""What GStreamer's loader of Python plugins imports for ``maeviddec``."""

from gi.repository import Gst
from gst_maevid.decoder import MaevidDec

__gstelementfactory__ = ("maeviddec", Gst.Rank.NONE, MaevidDec)
