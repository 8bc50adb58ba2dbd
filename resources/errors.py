"""The one ancestor of every error that a user may meet."""


class SimsightError(Exception):
    """Something expected went wrong; the message says what, where and what to do.

    The command line prints it without a traceback.
    """
