"""From a study to its runs: a trial is one run with its scenario."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from ipa import profiles, traces
from ipa.profiles import FileModel
from ipa.studies.many import Keys, PlannedRun, key_of
from ipa.studies.many.study.schema import (
    ALL_VARIANTS,
    Headline,
    Parameters,
    Place,
    PublishedFile,
    Setting,
    Study,
    Sweep,
    System,
)
from ipa.studies.runs import initial_configuration
from ipa.studies.scenario import Scenario, ScenarioError, beside, check_stage_names, policy_of, predictor_beside
from ipa.traces import NAMES

Values = dict[str, Any]

OWN_KEYS = ("schema_version", "kind", "pipeline", "trace", "seed")
"""Keys of a scenario that the study itself sets for each run."""


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    `system` is the name of a system, with an empty `point`; or that of a sweep, with the name of its `point`. `key` is
    a digest of everything that the run depends on; see `Keys`.
    """

    pipeline: str
    setting: str
    workload: str
    system: str
    point: str
    seed: int
    scenario: Scenario
    key: str

    @property
    def planned(self) -> PlannedRun:
        """The run for an executor."""
        return PlannedRun(self.key, self.scenario.as_dict())


@dataclass(frozen=True)
class StudyPlan:
    """Studies with all their runs, checked: everything that they name exists."""

    name: str
    studies: tuple[tuple[Study, tuple[Trial, ...]], ...]
    published: PublishedFile | None
    seeds: int

    @property
    def trials(self) -> list[Trial]:
        """All runs."""
        return [trial for _, trials in self.studies for trial in trials]

    @property
    def loads(self) -> str:
        """The loads of the runs, in words: the real trace, synthetic loads, the names of files."""
        words = dict.fromkeys(_load_in_words(trial.scenario.trace) for trial in self.trials)
        return ", ".join(words)

    @property
    def has_real_trace(self) -> bool:
        """Whether any run is on the real trace."""
        return any(traces.is_of_real_trace(trial.scenario.trace) for trial in self.trials)


def _load_in_words(trace: str) -> str:
    if traces.is_of_real_trace(trace):
        return "the real trace"
    return Path(trace).name if Path(trace).suffix else "synthetic loads"


@dataclass(frozen=True)
class _Case:
    """What the seeds of a trial share: the values of its scenario, and the place of each in the files."""

    setting: str
    workload: str
    system: str
    point: str
    values: Values
    origins: Mapping[str, Place]


def trials(study: Study, seeds: int) -> list[Trial]:
    """All runs of a study: settings, workloads, systems and points in the order of the file, then seeds 1, 2, ...

    Raises ScenarioError, with file and line, for anything that cannot be run, before anything runs.
    """
    pipeline = _beside(study, study.pipeline)
    try:
        figures = profiles.load(pipeline)
    except ValueError as error:
        raise study.places["keys", "pipeline"].error(str(error)) from None
    loads = {workload: _trace_name(study, workload) for workload in study.workloads}
    keys = Keys()
    planned: list[Trial] = []
    base = Scenario(pipeline=pipeline)
    for case in _cases(study, figures):
        scenario = _scenario(base, case, loads[case.workload], study)
        try:
            shared = keys.shared(scenario)
        except ValueError as error:
            raise study.places["keys", "workloads"].error(str(error)) from None
        planned += [
            Trial(
                pipeline=figures.name,
                setting=case.setting,
                workload=case.workload,
                system=case.system,
                point=case.point,
                seed=seed,
                scenario=scenario.model_copy(update={"seed": seed}),
                key=key_of(shared, seed),
            )
            for seed in range(1, seeds + 1)
        ]
    return planned


def points(study: Study, sweep: Sweep, figures: profiles.Pipeline) -> list[tuple[str, Values]]:
    """The points of a sweep: the name of each (given, or such as `alpha=4`), and its values."""
    if sweep.points:
        return [(name, {**sweep.set, **values}) for name, values in sweep.points.items()]
    axes = [[(key, value) for value in _values(values, figures)] for key, values in sweep.vary.items()]
    return [
        (", ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in chosen), {**sweep.set, **dict(chosen)})
        for chosen in product(*axes)
    ]


def _cases(study: Study, figures: profiles.Pipeline) -> Iterator[_Case]:
    swept = {name: points(study, sweep, figures) for name, sweep in study.sweeps.items()}
    first = next(iter(study.settings))
    for setting, workload in product(study.settings, study.workloads):
        only = study.settings[setting].systems
        for system in study.systems:
            if only is None or system in only:
                yield _case(study, setting, workload, system)
        for name, sweep in study.sweeps.items():
            if setting in (sweep.settings or (first,)):
                case = _case(study, setting, workload, sweep.of)
                place = study.places["sweeps", name]
                for point, values in swept[name]:
                    yield replace(
                        case,
                        system=name,
                        point=point,
                        values={**case.values, **values},
                        origins={**case.origins, **dict.fromkeys(values, place)},
                    )


def _case(study: Study, setting: str, workload: str, system: str) -> _Case:
    place = study.places["systems", system]
    values: Values = {"policy": study.systems[system].policy}
    origins: dict[str, Place] = {"policy": place}

    def put(keys: Mapping[str, Any], origin: Place | None) -> None:
        values.update(keys)
        origins.update(dict.fromkeys(keys, origin or place))

    for name in _lineage(study, setting):
        put(study.settings[name].set, study.places.get(("settings", name)))
    put(study.systems[system].set, place)
    for number, entry in enumerate(study.parameters):
        conditions = ((entry.systems, system), (entry.workloads, workload), (entry.settings, setting))
        if all(names is None or name in names for names, name in conditions):
            put(entry.set, study.places["parameters", number])
    return _Case(setting, workload, system, "", values, origins)


def _lineage(study: Study, setting: str) -> list[str]:
    """The settings that a setting inherits from, then the setting itself."""
    like = study.settings[setting].like
    return [*(_lineage(study, like) if like else ()), setting]


def _scenario(base: Scenario, case: _Case, trace: str, study: Study) -> Scenario:
    """The scenario of a case with seed 1, checked. Raises ScenarioError with the place of the wrong key."""
    for key in OWN_KEYS:
        if key in case.values:
            raise case.origins[key].error(f"set: {key} is set by the study itself, not for a run")
    values = {**case.values, "policy": _beside(study, case.values["policy"])}
    for key in ("policy.predictor", "policy.predictor.name", "policy.predictor.model"):
        if key in values:
            values[key] = predictor_beside(study.path.parent, values[key])
    try:
        scenario = base.with_values({**values, "trace": trace})
        pipeline = profiles.load(scenario.pipeline)
        for key in ("initial", "drop_limits_s"):
            check_stage_names(pipeline, key, getattr(scenario, key) or {})
        policy_of(scenario, pipeline)
        initial_configuration(scenario, pipeline)
        if scenario.records != "all":
            raise ScenarioError(f"records: a study needs the records of all requests, not {scenario.records}")
    except ValueError as error:
        where = f"{case.system}{f' ({case.point})' if case.point else ''}, {case.setting}, {case.workload}"
        raise _blamed(case, str(error)).error(f"{where}: {error}") from None
    return scenario


def _blamed(case: _Case, text: str) -> Place:
    """The place of the key that caused an error: the longest key that the text names, else the policy."""
    named = [key for key in case.origins if key in text or key.removeprefix("policy.") in text.split(": ")[0]]
    return case.origins[max(named, key=len, default="policy")]


def _trace_name(study: Study, workload: str) -> str:
    """The load of a workload: the window of the real trace if that is preferred and available."""
    if study.prefer_real_trace and workload in NAMES and traces.default_path(os.environ) is not None:
        return f"twitter:{workload}"
    return _beside(study, workload)


def _beside(study: Study, name: str) -> str:
    """The path of a file beside the study; any other name is returned unchanged."""
    return beside(study.path.parent, name)


def _values(listed: list[Any] | str, figures: profiles.Pipeline) -> list[Any]:
    if listed != ALL_VARIANTS:
        return list(listed)
    names = [[variant.name for variant in stage.variants] for stage in figures.stages]
    stages = [stage.name for stage in figures.stages]
    return [dict(zip(stages, chosen, strict=True)) for chosen in product(*names)]


def _short(value: Any) -> str:
    """A value as text in the name of a point; for a mapping, only its values."""
    if isinstance(value, Mapping):
        return ",".join(map(str, value.values()))
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_scenarios(plan: StudyPlan, changed: Callable[[Scenario], Scenario]) -> StudyPlan:
    """The plan with changed scenarios."""
    return replace(
        plan,
        studies=tuple(
            (study, tuple(replace(trial, scenario=changed(trial.scenario)) for trial in trials))
            for study, trials in plan.studies
        ),
    )


def check_names(names: Sequence[str], allowed: Sequence[str], option: str) -> None:
    """Raise ScenarioError if a name given to an option is unknown."""
    for name in names:
        if name not in allowed:
            raise ScenarioError(
                f"{option} {name}: unknown name{profiles.did_you_mean(name, allowed)}; allowed: "
                f"{profiles.listed(allowed)}"
            )


# The plan of a study as text, kept with its runs, so that the study can be read back without its own files.


_SECTIONS: dict[str, type[FileModel]] = {"settings": Setting, "systems": System, "sweeps": Sweep}
_PLAIN = ("title", "pipeline", "prefer_real_trace", "seeds", "bound")
_OF_TRIAL = ("pipeline", "setting", "workload", "system", "point", "seed", "key")


def to_text(plan: StudyPlan) -> str:
    """The plan as JSON for `from_text`, without the places of its keys."""
    return json.dumps(
        {
            "name": plan.name,
            "seeds": plan.seeds,
            "published": plan.published and plan.published.model_dump(mode="json"),
            "studies": [{"study": _study(study), **_trials(trials)} for study, trials in plan.studies],
        },
        separators=(",", ":"),
    )


def from_text(text: str) -> StudyPlan:
    """The plan from a text of `to_text`. Raises ValueError, KeyError or TypeError for any other text."""
    data = json.loads(text)
    return StudyPlan(
        name=data["name"],
        studies=tuple((_study_of(part["study"]), _trials_of(part)) for part in data["studies"]),
        published=data["published"] and PublishedFile.model_validate(data["published"]),
        seeds=data["seeds"],
    )


def _study(study: Study) -> dict[str, Any]:
    return {
        **{key: getattr(study, key) for key in _PLAIN},
        **{
            key: {name: model.model_dump(mode="json") for name, model in getattr(study, key).items()}
            for key in _SECTIONS
        },
        "path": str(study.path),
        "workloads": list(study.workloads),
        "parameters": [model.model_dump(mode="json") for model in study.parameters],
        "headline": study.headline and study.headline.model_dump(mode="json"),
        "published": study.published and str(study.published),
        "files": [str(path) for path in study.files],
    }


def _study_of(data: dict[str, Any]) -> Study:
    plain: dict[str, Any] = {key: data[key] for key in _PLAIN}
    sections: dict[str, Any] = {
        key: {name: model.model_validate(model_data) for name, model_data in data[key].items()}
        for key, model in _SECTIONS.items()
    }
    return Study(
        **plain,
        **sections,
        path=Path(data["path"]),
        workloads=tuple(data["workloads"]),
        parameters=tuple(Parameters.model_validate(model_data) for model_data in data["parameters"]),
        headline=data["headline"] and Headline.model_validate(data["headline"]),
        published=data["published"] and Path(data["published"]),
        files=tuple(map(Path, data["files"])),
        places={},
    )


def _trials(trials: tuple[Trial, ...]) -> dict[str, Any]:
    """The trials, with scenarios stored once for all seeds."""
    scenarios: dict[tuple[str, ...], Scenario] = {}
    for trial in trials:
        scenarios.setdefault(_cell(trial), trial.scenario)
    place = {cell: number for number, cell in enumerate(scenarios)}
    return {
        "scenarios": [scenario.as_dict() for scenario in scenarios.values()],
        "trials": [[place[_cell(trial)], *(getattr(trial, key) for key in _OF_TRIAL)] for trial in trials],
    }


def _trials_of(data: dict[str, Any]) -> tuple[Trial, ...]:
    scenarios = [Scenario.model_validate(scenario_data) for scenario_data in data["scenarios"]]
    of_study = []
    for place, *values in data["trials"]:
        named = dict(zip(_OF_TRIAL, values, strict=True))
        of_study.append(Trial(**named, scenario=scenarios[place].model_copy(update={"seed": named["seed"]})))
    return tuple(of_study)


def _cell(trial: Trial) -> tuple[str, ...]:
    return trial.setting, trial.workload, trial.system, trial.point
