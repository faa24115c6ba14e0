"""A simulation without a policy: it takes the decisions of a live run, at the moments at which they were made.

Beside the simulation in closed loop it tells errors of queues and replicas from errors of decisions.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipa.policies import Configuration
from ipa.sim import choose_engine, collect_records, create_engine, replicas_table, requests_table, stages_table
from ipa.studies.run import Prepared, arrivals_of, models_of, world_of
from ipa.studies.scenario import Scenario
from ipa.studies.validation.measures import Tables


def simulate_decisions(
    scenario: Scenario, prepared: Prepared, decisions: Sequence[tuple[float, Configuration]]
) -> Tables:
    """The tables `requests`, `stages` and `replicas` of the scenario's load under these decisions.

    The first one is ready at the start; each later one, in order of time, is made at its time and takes effect
    after the scenario's decision delay.
    """
    pipeline, trace = prepared.pipeline, prepared.trace
    (_, initial), *later = decisions
    engine = create_engine(
        choose_engine(scenario.engine),
        models_of(scenario, pipeline),
        world_of(scenario, trace.duration_s, prepared.sla_s),
        arrivals_of(scenario, trace),
        initial,
        scenario.seed,
    )
    waiting = iter(later)
    within = iter([time_s for time_s, _ in later if time_s < trace.duration_s])
    engine.run(within, lambda: engine.apply(next(waiting)[1]))
    found = collect_records(engine)
    return {
        "requests": requests_table(pipeline, found),
        "stages": stages_table(found),
        "replicas": replicas_table(found),
    }
