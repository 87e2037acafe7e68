"""The terminal interface: a running encode, a finished file or a recorded statistics file, in one Textual app.

Only :mod:`maevid.tui.app` and the widgets import Textual. The pipeline needs :mod:`maevid.tui.session` and
:mod:`maevid.tui.mailbox` alone, which do not.
"""
