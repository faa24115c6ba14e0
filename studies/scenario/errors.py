"""How wrong input to a study is answered, and what goes wrong while it runs."""

from ipa.errors import Error, InputError


class ScenarioError(InputError):
    """A scenario, a key of one or a command's argument that cannot be used; the text says what is allowed."""


class WorkerError(Error):
    """A worker process that something else has killed; its run is lost, those finished before are not."""
