"""Fleets in the explorer: a fleet's controls, its runs, and the answer, whose rows are its pipelines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ipa.studies import fleets, pages, results
from ipa.studies.explore.answers import Pinned, against, estimates_of
from ipa.studies.explore.coarse import COARSE_S, beginning
from ipa.studies.explore.figures import plain
from ipa.studies.explore.inside import inside
from ipa.studies.explore.questions import ExplorerQuestion, as_text, control, spec
from ipa.studies.fleets import Fleet, FleetAnswers, FleetRun, Member
from ipa.studies.intervals import limits
from ipa.studies.runs import Figure, figures_of
from ipa.studies.scenario import Scenario, ScenarioError, Shared

OF_SCENARIO = ("policy", "trace", "scale", "window", "sla_s", "interval_s", "seed")
"""The keys of each pipeline's scenario that have a control; an address may have any other."""

LISTS = {"policy": "policies", "trace": "loads"}
"""Key -> the list that the page offers for it."""


# ---- the question ----


def fleet_of(question: ExplorerQuestion) -> Fleet:
    """The fleet of a question. Raises ScenarioError as a command does."""
    if question.policies:
        raise ScenarioError("policies: should be empty: each pipeline of a fleet has its own, PIPELINE.policy")
    return fleets.load_fleet(question.what, question.parsed)


def base_of_fleet(what: str) -> dict[str, Any]:
    """The controls of a fleet, and the value of every key that has one. Raises ScenarioError."""
    fleet = fleets.load_fleet(what)
    keys = [about["key"] for about in _controls(fleet)]
    return {
        "pipeline": fleet.title,
        "description": f"{len(fleet.pipelines)} pipelines under one budget of {fleet.unit}",
        "policy": "",
        "variants": {},
        "values": {key: text for key, text in _texts(fleet) if key in keys},
        "usual": {},
        "controls": list(_controls(fleet)),
    }


def _controls(fleet: Fleet) -> Iterator[dict[str, Any]]:
    schema = Fleet.model_json_schema()
    of_fleet, of_member = schema["properties"], schema["$defs"]["Member"]["properties"]
    for key in (f"limit_{fleet.resource}", "sharing"):
        yield control(key, of_fleet[key], "Fleet")
    for tenant in dict.fromkeys(member.tenant for member in fleet.pipelines if member.tenant):
        yield control(f"tenants.{tenant}", of_fleet["tenants"]["additionalProperties"], "Fleet")
    own = ("priority", f"at_least_{fleet.resource}", f"at_most_{fleet.resource}")
    for member in fleet.pipelines:
        for key in (*own, *OF_SCENARIO):
            about = control(f"{member.name}.{key}", of_member[key], member.name)
            yield {**about, "section": member.name, "list": LISTS.get(key, "")}


def _texts(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """The values of a fleet and of its pipelines, as after `--set`."""
    yield f"limit_{fleet.resource}", str(fleet.budget)
    yield "sharing", fleet.sharing
    yield from ((f"tenants.{tenant}", as_text(weight)) for tenant, weight in fleet.tenants.items())
    for member in fleet.pipelines:
        for key, value in {**member.scenario.as_dict(), **_own(member)}.items():
            yield f"{member.name}.{key}", spec(value) if key == "policy" else as_text(value)


def _own(member: Member) -> dict[str, Any]:
    return member.model_dump(mode="json", exclude={"scenario"})


def _ways(question: ExplorerQuestion, fleet: Fleet) -> dict[str, Any]:
    """The equivalent command and Python code, and the fleet's file."""
    options = [word for key, text in question.values.items() for word in ("--set", f"{key}={text}")]
    command = ["ipa", "simulate", question.what, *options]
    if question.seeds > 1:
        seeds = ["--seeds", str(question.seeds)]
        command = ["ipa", "compare", question.what, *options, *seeds]
    values = f", {question.parsed!r}" if question.values else ""
    loaded = f"load_fleet({json.dumps(question.what)}{values})"
    if question.seeds == 1:
        code = f"run = simulate_fleet({loaded})\nprint({{name: each.summary for name, each in run.runs.items()}})\n"
        python = f"from ipa.studies.fleets import load_fleet, simulate_fleet\n\n{code}"
    else:
        code = f"print(sweep_fleet({loaded}, [{{}}], seeds={question.seeds}))\n"
        python = f"from ipa.studies.fleets import load_fleet, sweep_fleet\n\n{code}"
    return {
        "command": shlex.join(command),
        "python": python,
        "file": _file(fleet),
        "has_report": question.seeds == 1,
    }


def _file(fleet: Fleet) -> str:
    """The fleet as a file, with what differs from the defaults."""
    own = fleet.model_dump(mode="json", exclude_defaults=True, exclude={"pipelines"})
    head = {"schema_version": fleet.schema_version, "kind": fleet.kind, **own, "sharing": fleet.sharing}
    members = []
    for member in fleet.pipelines:
        keys = member.model_dump(mode="json", exclude_defaults=True, exclude={"scenario"})
        scenario = member.scenario.model_dump(mode="json", exclude_defaults=True)
        policy = member.scenario.policy.model_dump()
        members.append({**keys, "pipeline": member.scenario.pipeline, **scenario, "policy": policy})
    return yaml.safe_dump({**head, "pipelines": members}, sort_keys=False, allow_unicode=True)


# ---- views of runs ----


@dataclass(frozen=True)
class FleetFigures:
    """What is kept of a run of a fleet: pipeline -> its figures; of a drawn one, also plots and sentences."""

    by_pipeline: Mapping[str, Mapping[str, Any]]
    plots: Sequence[Mapping[str, Any]] = ()
    sentences: Sequence[str] = ()


def view_of_fleet(fleet: Fleet, view: str, pipeline: str, shared: Shared, look: Callable[[], object]) -> Any:
    """A view of a fleet's run; `look` is called at each step. Raises as `simulate_fleet`.

    "summary": the figures; "drawn": also the budget over time, and who pays for whom; "coarse": the same without runs
    alone; "inside": the run of one `pipeline`.
    """
    if view == "drawn":
        return _drawn(*fleets.answered(fleet, shared, look))
    if view == "inside":
        full = fleet.with_values({"journal": "full"})  # only a full journal has the reasons of decisions
        return inside(fleets.simulate_fleet(full, shared, look).runs[pipeline])
    run = fleets.simulate_fleet(fleet, shared, look)
    return _drawn(run, fleets.answers_of(run)) if view == "coarse" else FleetFigures(fleets.figures_of_fleet(run))


def _drawn(run: FleetRun, answers: FleetAnswers) -> FleetFigures:
    plots = plain([pages.fleet.over_time(answers)])
    return FleetFigures(fleets.figures_of_fleet(run), plots, tuple(fleets.sentences(answers)))


def beginning_of_fleet(fleet: Fleet) -> tuple[Fleet, float | None]:
    """The fleet on the beginning of its loads, and the length of the longest [s]; the fleet itself, and None, if that
    is not long."""
    shared = Shared()
    lengths_s = [shared.trace(member.scenario).duration_s for member in fleet.pipelines]
    if max(lengths_s) < 2 * COARSE_S:
        return fleet, None
    members = [
        member.model_copy(update={"scenario": beginning(member.scenario, COARSE_S)}) if length_s > COARSE_S else member
        for member, length_s in zip(fleet.pipelines, lengths_s, strict=True)
    ]
    return fleet.model_copy(update={"pipelines": members}), max(lengths_s)


# ---- the answer ----


def answer_of_fleet(
    question: ExplorerQuestion,
    fleet: Fleet,
    runs: Sequence[FleetFigures],
    pinned: Pinned | None = None,
    pin: Sequence[FleetFigures] = (),
) -> dict[str, Any]:
    """The answer to a question of a fleet from its runs, by seed, and those of the pin."""
    by_pipeline = {member.name: _of_pipeline(runs, member.name) for member in fleet.pipelines}
    figures = _figures(fleet, [summary for summaries in by_pipeline.values() for summary in summaries])
    firsts = [summaries[0] for summaries in by_pipeline.values()]
    scenarios: list[Scenario] = [member.scenario for member in fleet.pipelines]
    traces = list(dict.fromkeys(scenario.trace for scenario in scenarios))
    answer: dict[str, Any] = {
        "policies": [estimates_of(name, name, summaries, figures) for name, summaries in by_pipeline.items()],
        "plots": list(runs[0].plots),
        "recommendation": list(runs[0].sentences),
        "unmet": [],
        "figures": [name for name, *_ in figures],
        "made": {
            "title": f"{fleet.budget} {fleet.unit} for {fleet.title}, shared by {fleet.sharing}",
            "rows": "pipeline",
            "sla_s": None,
            "duration_s": max(summary["duration_s"] for summary in firsts),
            "requests": sum(summary["requests"] for summary in firsts),
            "seeds": [scenarios[0].seed + place for place in range(len(runs))],
            "engine": firsts[0]["engine"],
            "version": results.versions_of("ipa-pipelines")["ipa-pipelines"],
            "load": {"name": ", ".join(traces), "source": "of the pipelines", "sha256": None},
        },
        "intervals": limits(traces) if len(runs) > 1 else "",
        **_ways(question, fleet),
    }
    if pinned is not None:
        answer["differences"] = [
            against(row, row["policy"], {run["seed"]: run for run in _of_pipeline(pin, row["policy"])}, figures)
            for row in answer["policies"]
            if row["policy"] in pin[0].by_pipeline
        ]
        if not answer["differences"]:
            raise ScenarioError("pinned: has none of these pipelines")
    return answer


def _of_pipeline(runs: Sequence[FleetFigures], name: str) -> list[dict[str, Any]]:
    """The figures of a pipeline, by seed."""
    return [{**run.by_pipeline[name], "pipeline": name} for run in runs]


def _figures(fleet: Fleet, summaries: Sequence[Mapping[str, Any]]) -> tuple[Figure, ...]:
    shared: tuple[Figure, ...] = ((f"wants, {fleet.unit}", "wanted", 1.0, 2), (f"gets, {fleet.unit}", "got", 1.0, 2))
    others = (figure for figure in figures_of(summaries) if figure[0] != fleet.unit)  # that is what it gets
    return (*shared, *others, ("objective", "objective", 1.0, 3))
