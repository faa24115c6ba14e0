"""A validation as programs and notebooks have it: its comparison as a table, named figures, a summary with pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipa.studies.displayed import Displayed
from ipa.studies.validation import outcome, wording

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Validation(Displayed, outcome.Validation):
    """Everything that a validation found."""

    PAGE = "validation"

    @property
    def table(self) -> pd.DataFrame:
        """One row per figure compared, of the pipeline and of each stage: live, simulated, error, verdict."""
        import pandas as pd

        return pd.DataFrame([row.as_dict() for row in self.rows])

    def __repr__(self) -> str:
        return "\n  ".join(["Validation", *self.lines()])

    def lines(self) -> Iterator[str]:
        """What was compared, the verdict and what to know of it, in lines of text."""
        yield wording.title(self)
        yield f"Verdict: {wording.verdict(self)}"
        yield from self.flags
