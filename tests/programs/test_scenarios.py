"""The random scenarios of `make verify`: one of each kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.programs.verification import scenarios


@pytest.mark.parametrize("shape", ["chains", "graphs"])
@pytest.mark.parametrize("what", ["", " with language models"])
def test_one_scenario_of_each_kind(shape: str, what: str) -> None:
    kinds = [replace(kind, count=1) for kind in scenarios.kinds() if kind.name.startswith(f"{shape}{what}:")]
    assert len(kinds) == len(scenarios.MODES)
    assert [kind.differing("simpy", scenarios.FIRST) for kind in kinds] == [[]] * len(kinds)
