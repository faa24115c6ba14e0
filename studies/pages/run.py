"""What is seen of one run: the page and the plots are those of a comparison of it alone."""

from __future__ import annotations

from pathlib import Path

from ipa.studies.many import Comparison
from ipa.studies.pages import comparison
from ipa.studies.pages.plots import Plot
from ipa.studies.pages.run_cards import run_card
from ipa.studies.runs import RunData


def plots(run: RunData) -> list[Plot]:
    """The plots of the page. Raises ScenarioError for a run without records."""
    return comparison.plots(Comparison((run,)))


def write(run: RunData, path: Path) -> None:
    """Write the page. Raises as `comparison.write`."""
    comparison.write(Comparison((run,)), path)


def card(run: RunData) -> str:
    """The run in a notebook."""
    return run_card(run)
