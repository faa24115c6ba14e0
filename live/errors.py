"""How live mode answers what cannot be run, and what goes wrong while it runs."""

from ipa.errors import Error, InputError


class LiveError(InputError):
    """Something asked of live mode that cannot be had; the text says what is allowed."""


class RunError(Error):
    """A live run that cannot go on: a process of it has died, or nothing answers any more."""
