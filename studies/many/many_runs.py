"""Many runs in one call: their summaries, with everything found and drawn once that several of them need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ipa.errors import Error
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared

Summary = dict[str, Any]


def summaries(scenarios: Iterable[Scenario], shared: Shared | None = None) -> Iterator[Summary | str]:
    """The summary of each run, in order, as `simulate(scenario).summary`; or the text of the error that ended it.

    What several of the runs need is found, drawn or computed once, and kept in `shared`, by default what all runs of
    this thread share. A scenario's `records` says what a run records; "none" is the fastest. Memory stays bounded,
    whatever the number of runs.

    An error that is not one of ours, a bug in this program, ends the iteration; a note says in which run.
    """
    for scenario in scenarios:
        try:
            yield simulate(scenario, shared=shared).summary
        except Error as error:
            yield str(error)
        except Exception as error:
            error.add_note(f"in the run of {scenario.policy.title} on {scenario.trace}, seed {scenario.seed}")
            raise
