"""Downloads of a question: a report as one HTML page, and a table of its runs, as `ipa compare` writes them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ipa.studies import results
from ipa.studies.many import Comparison
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario

FORMS = {"report": "explore.html", "table": "explore.parquet"}
"""Form -> the name of its file."""


def taken(scenarios: Sequence[Scenario], form: str, look: Callable[[float], object]) -> dict[str, str]:
    """A file of the scenarios' runs: its name, and its content in base64. `look` is called at each decision.

    Raises as `simulate`, and ScenarioError if a report is requested of runs without records.
    """
    comparison = Comparison(tuple(simulate(scenario, look) for scenario in scenarios))
    with TemporaryDirectory() as folder:
        path = Path(folder) / FORMS[form]
        if form == "report":
            comparison.write_report(path)
        else:
            results.write_table(comparison.table, path)
        return {"name": path.name, "base64": b64encode(path.read_bytes()).decode()}
