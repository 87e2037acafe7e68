"""The errors that a user is meant to read: one line that says what is wrong and what to do.

The command line prints the text of any :class:`MaevidError` after ``maevid:`` and exits with
its ``exit_code``. Every other exception is a defect of the program.
"""


class MaevidError(Exception):
    """Base of all errors with a message for the user; the command fails with exit code 1."""

    exit_code = 1


class UsageError(MaevidError):
    """The request itself is wrong (an unknown option value, an output type that does not exist)."""

    exit_code = 2


class InputError(MaevidError):
    """The input cannot be used: missing, unreadable, without video, without frames."""


class OutputError(MaevidError):
    """The output cannot be written."""


class DamagedError(MaevidError):
    """A packet or file is not what was written: check values differ, lengths do not fit, data is cut."""


class LatentError(DamagedError):
    """A packet that is whole, but decodes to other latents than the encoder's: wrong tables, or an inexact machine."""


class ModelError(MaevidError):
    """The weights that a packet needs are not the ones at hand, or a checkpoint is unusable."""


class TargetError(MaevidError):
    """A rate target cannot be reached with this clip; the message names what can."""
