"""How wrong input to a study is answered, and what goes wrong while it runs."""


class ScenarioError(ValueError):
    """A scenario, a key of one or a command's argument that cannot be used; the text says what is allowed."""


class WorkerError(Exception):
    """A worker process that something else has killed; its run is lost, those finished before are not."""
