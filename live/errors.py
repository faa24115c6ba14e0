"""The errors of live mode: invalid requests, and failures of a run."""

from ipa.errors import Error, InputError


class LiveError(InputError):
    """Invalid input to live mode; the text says what is allowed."""


class RunError(Error):
    """A live run cannot go on: a process has died, or does not answer."""
