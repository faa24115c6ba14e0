"""PAS of a pipeline whose pairs were measured: what the pair that served a request reaches together, in any engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipa.studies import Scenario, simulate
from tests.profiles.test_pairs import MEASURED, file_of


@pytest.mark.parametrize("settings", [{"engine": "simpy"}, {"engine": "compiled"}, {"records": "none"}])
def test_pas_is_the_mean_of_the_pairs_that_served(tmp_path: Path, settings: dict[str, Any]) -> None:
    """IPA on a bursty load, in which variants change."""
    path = str(file_of(tmp_path))
    load: dict[str, Any] = {"trace": "bursty", "seed": 3, "policy": {"name": "ipa", "alpha": 100}}
    whole = simulate(Scenario(pipeline=path, **load))
    served = [
        whole.tables["replicas"].query("stage == @stage").set_index("replica")["variant"].astype(str)
        for stage in ("sort", "answer")
    ]
    requests = whole.tables["requests"].query("outcome == 'completed'")
    visits = whole.tables["stages"]
    pairs = [
        visits[visits["stage"] == stage].set_index("request")["replica"].loc[requests["request"]].map(of).tolist()
        for stage, of in zip(("sort", "answer"), served, strict=True)
    ]
    expected = [MEASURED[a][b] for a, b in zip(*pairs, strict=True)]
    assert len(set(expected)) > 1
    assert requests["accuracy"].tolist() == expected
    found = simulate(Scenario(pipeline=path, **load, **settings))
    assert found.summary["pas_mean"] == pytest.approx(100 * sum(expected) / len(expected), rel=1e-12)
