"""Rescue: with eager dispatch what waits at a replica stays there until the replica goes, as in a change of variants.

So a stage with more than its replicas serve in time gets another variant, whose replicas take over what waits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import NamedTuple

from ipa.policies.foresight.choice import Aim, cores_of
from ipa.policies.foresight.throughput import have_rps
from ipa.policies.interface import Configuration, Observation, StageConfiguration
from ipa.policies.optimiser import Problem, Programme, Solution
from ipa.profiles import Stage, fits_nodes

LESS = 0.8
"""Where there is no room for what a rescue needs, this share of it is tried, and so on."""
BURST = 3
"""So many times their replicas have the stages behind one that gives back what is stuck."""
SURGE_PART = 4
"""A rollout starts one replica beyond the wanted ones for each so many of these, unless a scenario says otherwise; and
as many old ones go when they serve."""


class Rescue(NamedTuple):
    """A plan in which stuck stages have other variants, and the load that it is for."""

    solution: Solution
    load_rps: float


def rescuing(
    aim: Aim,
    problem: Problem,
    observation: Observation,
    stuck: Collection[str],
    fixed: Mapping[str, Collection[str]],
    least_rps: float,
) -> Rescue | None:
    """The best plan in which the stuck stages have other variants than now, for the problem's load, or for as much of
    it as there is room for, down to `least_rps`; if there is none, that of the first stage which can be rescued alone.

    None without such a stage, or if there is no such plan. Stages that are `fixed` keep their variants (stage ->
    names).
    """
    table = problem.programme.table
    others = {}
    for name, options in zip(table.names, table.stages, strict=True):
        not_these = {observation.configuration[name].variant, *problem.failed.get(name, ())}
        names = [variant for variant in options.variants if variant not in not_these]
        if name in stuck and name not in fixed and names:
            others[name] = names
    alone = [{name: names} for name, names in others.items()] if len(others) > 1 else []
    for wanted in (others, *alone):
        load_rps = problem.load_rps
        while wanted and load_rps > 0:
            found = aim.answers.solve(replace(problem, variants={**fixed, **wanted}, load_rps=load_rps))
            if found.feasible:
                return Rescue(found, load_rps)
            if load_rps <= least_rps:
                break
            load_rps = max(least_rps, LESS * load_rps)
    return None


def at_once(
    configuration: Configuration, observation: Observation, stuck: Collection[str], most: float
) -> dict[str, int]:
    """Stage -> the replicas with which a rescue succeeds, where its plan has fewer.

    All old ones of a stage go at the first step of its rollout, as what waits at others would not be rescued; at most
    `most` times the plan's are started for that. The stages behind the first stuck one get what a burst needs.
    """
    names = list(configuration)
    first = min(names.index(name) for name in stuck)
    found = {}
    for name, each in configuration.items():
        was = observation.configuration[name]
        if each.variant != was.variant:
            all_go = SURGE_PART * (was.replicas - 1) + 1
            found[name] = min(all_go, ceil(most * each.replicas))
        if names.index(name) > first:
            found[name] = max(found.get(name, 0), BURST * each.replicas)
    return found


def meanwhile(
    stages: Sequence[Stage],
    observation: Observation,
    configuration: Configuration,
    load_rps: float,
    lead_s: float,
    may_wait_s: float,
) -> dict[str, int]:
    """Stage -> how many of its replicas the load needs while they are replaced by those of another variant.

    Until these serve, after `lead_s`, no more of the old ones stay than new ones are wanted. Stages whose new replicas
    serve what waits by then within `may_wait_s` are left out.
    """
    found = {}
    for stage in stages:
        was, wanted = observation.configuration[stage.name], configuration[stage.name]
        if wanted.variant == was.variant:
            continue
        old_rps, new_rps = (_one_rps(stage, each) for each in (was, wanted))
        unserved_rps = load_rps - min(was.replicas, wanted.replicas) * old_rps
        if unserved_rps * lead_s > may_wait_s * wanted.replicas * new_rps:
            found[stage.name] = min(was.replicas, ceil(load_rps / old_rps))
    return found


def _one_rps(stage: Stage, configured: StageConfiguration) -> float:
    variant = stage.variant(configured.variant)
    return variant.throughput_rps(min(configured.batch, variant.max_batch()))


def not_more(configuration: Configuration, observation: Observation) -> Configuration:
    """The configuration, but no more replicas where those of another variant are still to go: they would go only when
    all that are wanted serve."""
    found = dict(configuration)
    for name, stage in observation.stages.items():
        at_hand, wanted = stage.configuration, found[name]
        is_changing = any(counts.ready for variant, counts in stage.replicas.items() if variant != at_hand.variant)
        if is_changing and wanted.variant == at_hand.variant:
            found[name] = replace(wanted, replicas=min(wanted.replicas, at_hand.replicas))
    return found


def uneven(programme: Programme, stages: Sequence[Stage], observation: Observation, load_rps: float) -> dict[str, int]:
    """Stage -> its replicas, where it has no other variant and more waits than would if the load found all of them
    equal: some are behind, and with fewer replicas they would get more of what comes.

    At each of N equal replicas with a utilisation r wait a batch and r^2 / (1 - r) requests, as in an M/M/1 queue.
    """
    found = {}
    for stage, options in zip(stages, programme.table.stages, strict=True):
        rate_rps, ready = have_rps(stage, observation)
        if len(options.variants) > 1 or rate_rps <= load_rps:
            continue
        used, at_hand = load_rps / rate_rps, observation.configuration[stage.name]
        even = ready * (at_hand.batch + used**2 / (1 - used))
        if observation.stages[stage.name].queue_length > even:
            found[stage.name] = at_hand.replicas
    return found


def most_of(*replicas: Mapping[str, int]) -> dict[str, int]:
    """Stage -> the most replicas that any of these names."""
    names = dict.fromkeys(name for each in replicas for name in each)
    return {name: max(each.get(name, 0) for each in replicas) for name in names}


def with_room(
    problem: Problem, configuration: Configuration, replicas: Mapping[str, int]
) -> Mapping[str, StageConfiguration]:
    """The configuration with no fewer replicas than these (stage -> number), as far as there is room for them, one
    stage after the other."""
    found = dict(configuration)
    for name, least in replicas.items():
        wanted = min(least, problem.bounds(name)[1])
        more = {**found, name: replace(found[name], replicas=max(found[name].replicas, wanted))}
        if has_room(problem, more):
            found = more
    return found


def has_room(problem: Problem, configuration: Configuration) -> bool:
    """Whether a configuration keeps the limits of cores and nodes."""
    limit = problem.most_cores
    if limit is not None and cores_of(configuration) > limit:
        return False
    shapes = [(each.cores, each.replicas) for each in configuration.values()]
    return not problem.nodes or fits_nodes(shapes, problem.nodes)
