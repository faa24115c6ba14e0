"""Errors for wrong input to a study, and for failures while it runs."""

from ipa.errors import Error, InputError


class ScenarioError(InputError):
    """A scenario, one of its keys or a command's argument cannot be used; the text says what is allowed."""


class WorkerError(Error):
    """A worker process was killed from outside; its run is lost, earlier finished ones are not."""
