"""A validation as programs and notebooks have it: its comparison as a table, named figures, a summary with pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ipa.studies.drawing import Curve, card, latency_quantiles_s, plain_table, sketch
from ipa.studies.validation import outcome, wording
from ipa.studies.validation.curves import LIVE, SIMULATED, plots
from ipa.studies.validation.windows import busiest

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


@dataclass(frozen=True, repr=False)
class Validation(outcome.Validation):
    """Everything that a validation found."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per figure compared, of the pipeline and of each stage: live, simulated, error, verdict."""
        import pandas as pd

        return pd.DataFrame([row.as_dict() for row in self.rows])

    def figures(self) -> dict[str, Figure]:
        """The figures of the report, by name, as plotly's own. Raises ScenarioError where plotly is not installed."""
        return {plot.name: plot.figure() for plot in plots(self)}

    def __repr__(self) -> str:
        return "\n  ".join(["Validation", *self._lines()])

    def _repr_html_(self) -> str:
        rows = (
            [escape(text) for text in (f"{row.metric.title} {row.metric.unit}".strip(), *wording.cells(row))]
            for row in self.rows
            if row.metric.stage is None
        )
        return card(
            "Live against simulated",
            self._lines(),
            plain_table(["", *wording.HEADINGS], rows),
            f"<div>{self._latencies()}{self._utilisation()}</div>",
        )

    def _lines(self) -> Iterator[str]:
        yield wording.title(self)
        yield f"Verdict: {wording.verdict(self)}"
        yield from self.flags

    def _latencies(self) -> str:
        import pandas as pd

        end_s = self.prepared.trace.duration_s
        curves = []
        for runs, colour in ((self.worlds.live, LIVE), ([self.worlds.simulated], SIMULATED)):
            requests = {"requests": pd.concat([run["requests"] for run in runs])}
            middle_s, (p99_s,) = latency_quantiles_s(requests, end_s, (0.99,))
            curves.append(Curve(middle_s, p99_s, colour))
        return sketch("latency p99, live (blue) and simulated", "s", curves, end_s)

    def _utilisation(self) -> str:
        curves = [
            Curve(self.windows.edges_s, np.nan_to_num(100.0 * busiest(runs, self.windows)), colour)
            for runs, colour in ((self.worlds.live, LIVE), ([self.worlds.simulated], SIMULATED))
        ]
        return sketch("busiest stage", "%", curves, self.prepared.trace.duration_s)
