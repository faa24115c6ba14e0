"""The options of a comparison, declared once for the command line and Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipa.studies.scenario import option


@dataclass(frozen=True)
class ComparisonOptions:
    """The options of a comparison."""

    policies: Sequence[str] = option(
        (),
        "Policy to compare, with parameters of its own and a label after it: 'ipa alpha=2 label=\"IPA, cheap\"'. "
        "Repeatable. Default: ipa, foresight, scale-only:low, scale-only:high and switch-only.",
        flag="--policy",
    )
    seeds: int | None = option(None, "Runs per policy, with seeds from --seed on. Default: 1.", least=1)
