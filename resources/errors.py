"""The one ancestor of every error that a user may meet."""


class SimsightError(Exception):
    """Something expected went wrong; the message says what, where and what to do.

    The command line prints it without a traceback.
    """


class UsageError(SimsightError):
    """What was asked for cannot be: a name or a value in it is wrong. The command line ends with 2."""
