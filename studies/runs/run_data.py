"""What every finished run offers, whether it was just simulated, ran live or was read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from ipa.policies import Entry
    from ipa.studies.scenario import Scenario


class RunData(Protocol):
    """A finished run, just made or read back: its scenario, summary, tables, variants and journal."""

    @property
    def scenario(self) -> Scenario: ...

    @property
    def starts_at(self) -> datetime | None:
        """When the load begins on a clock of its own; None where it has none."""
        ...

    @property
    def loss(self) -> str:
        """What is to be said first of a live run that lost too many requests; empty for any other."""
        ...

    @property
    def entries(self) -> Sequence[Entry]:
        """The journal. Raises ScenarioError where it cannot be read, PolicyError where it is damaged."""
        ...

    @property
    def summary(self) -> Mapping[str, Any]: ...

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]: ...

    @property
    def accuracies(self) -> Mapping[str, Mapping[str, float]]:
        """Stage -> variant -> accuracy; empty in results of earlier versions."""
        ...


class Shown:
    """What notebooks and programs have of a run beside its data: what the report draws of it.

    The one place where a run knows of its pages; the rules of imports name it.
    """

    def figures(self: RunData) -> dict[str, Figure]:
        """The figures of the run's report, by name, as plotly's own.

        Raises ScenarioError for a run without records, or where plotly is not installed.
        """
        from ipa.studies.report import figures

        return figures([self])

    def __repr__(self: RunData) -> str:
        from ipa.studies.report import lines, title

        return "\n  ".join([f"{type(self).__name__} of {title(self.summary)}", *lines(self.summary)])

    def _repr_html_(self: RunData) -> str:
        from ipa.studies.report import card_of

        return card_of(self)
