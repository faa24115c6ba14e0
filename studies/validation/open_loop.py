"""A simulation without a policy: it takes the decisions of a live run, at the moments at which they were made.

Beside the simulation in closed loop it tells errors of queues and replicas from errors of decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ipa.policies import Configuration
from ipa.sim import choose_engine, collect_records, create_engine, replicas_table, requests_table, stages_table
from ipa.studies.runs import Prepared
from ipa.studies.scenario import Scenario, arrivals_of, later, models_of, world_of
from ipa.studies.validation.measures import Tables


def simulate_decisions(
    scenario: Scenario, prepared: Prepared, decisions: Sequence[tuple[float, Configuration]], late_s: float = 0.0
) -> Tables:
    """The tables `requests`, `stages` and `replicas` of the scenario's load under these decisions.

    The first one is ready at the start; each later one, in order of time, is made at its time and takes effect
    after the scenario's decision delay. Requests reach the pipeline `late_s` after they were due.
    """
    pipeline, trace = prepared.pipeline, prepared.trace
    (_, initial), *following = decisions
    due_s = arrivals_of(scenario, trace)
    engine = create_engine(
        choose_engine(scenario.engine),
        models_of(scenario, pipeline),
        world_of(scenario, trace.duration_s, prepared.sla_s),
        later(due_s, late_s, trace.duration_s),
        initial,
        scenario.seed,
        mixes=any(each.is_mix for _, wanted in decisions for each in wanted.values()),
    )
    waiting = iter(following)
    within = iter([time_s for time_s, _ in following if time_s < trace.duration_s])
    for _ in engine.steps(within):
        engine.apply(next(waiting)[1])
    found = replace(collect_records(engine), arrival_s=due_s)
    return {
        "requests": requests_table(pipeline, found),
        "stages": stages_table(found),
        "replicas": replicas_table(found),
    }
