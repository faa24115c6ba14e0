"""What every finished run offers, whether it was just simulated, ran live or was read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd


class RunData(Protocol):
    """A finished run: its summary, its tables and its variants."""

    @property
    def summary(self) -> Mapping[str, Any]: ...

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]: ...

    @property
    def accuracies(self) -> Mapping[str, Mapping[str, float]]:
        """Stage -> variant -> accuracy; empty in results of earlier versions."""
        ...
