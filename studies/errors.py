"""How wrong input to a study is answered."""


class ScenarioError(ValueError):
    """A scenario, a key of one or a command's argument that cannot be used; the text says what is allowed."""
