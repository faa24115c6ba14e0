"""The plan of a study as text, kept with its runs, so that the study can be read back without its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipa.profiles import FileModel
from ipa.studies.many.study.plan import Plan, Trial
from ipa.studies.many.study.published_file import PublishedFile
from ipa.studies.many.study.schema import Headline, Parameters, Setting, Study, Sweep, System
from ipa.studies.scenario import Scenario

_SECTIONS: dict[str, type[FileModel]] = {"settings": Setting, "systems": System, "sweeps": Sweep}
_PLAIN = ("title", "pipeline", "prefer_real_trace", "seeds", "bound")
_OF_TRIAL = ("pipeline", "setting", "workload", "system", "point", "seed", "key")


def to_text(plan: Plan) -> str:
    """The plan as JSON; `from_text` takes it back, without the places of its keys."""
    return json.dumps(
        {
            "name": plan.name,
            "seeds": plan.seeds,
            "published": plan.published and plan.published.model_dump(mode="json"),
            "studies": [{"study": _study(study), **_trials(trials)} for study, trials in plan.studies],
        },
        separators=(",", ":"),
    )


def from_text(text: str) -> Plan:
    """The plan of a text of `to_text`. Raises ValueError, KeyError or TypeError for another text."""
    data = json.loads(text)
    return Plan(
        name=data["name"],
        studies=tuple((_study_of(each["study"]), _trials_of(each)) for each in data["studies"]),
        published=data["published"] and PublishedFile.model_validate(data["published"]),
        seeds=data["seeds"],
    )


def _study(study: Study) -> dict[str, Any]:
    return {
        **{key: getattr(study, key) for key in _PLAIN},
        **{
            key: {name: each.model_dump(mode="json") for name, each in getattr(study, key).items()} for key in _SECTIONS
        },
        "path": str(study.path),
        "workloads": list(study.workloads),
        "parameters": [each.model_dump(mode="json") for each in study.parameters],
        "headline": study.headline and study.headline.model_dump(mode="json"),
        "published": study.published and str(study.published),
        "files": [str(path) for path in study.files],
    }


def _study_of(data: dict[str, Any]) -> Study:
    plain: dict[str, Any] = {key: data[key] for key in _PLAIN}
    sections: dict[str, Any] = {
        key: {name: model.model_validate(each) for name, each in data[key].items()} for key, model in _SECTIONS.items()
    }
    return Study(
        **plain,
        **sections,
        path=Path(data["path"]),
        workloads=tuple(data["workloads"]),
        parameters=tuple(Parameters.model_validate(each) for each in data["parameters"]),
        headline=data["headline"] and Headline.model_validate(data["headline"]),
        published=data["published"] and Path(data["published"]),
        files=tuple(map(Path, data["files"])),
        places={},
    )


def _trials(trials: tuple[Trial, ...]) -> dict[str, Any]:
    """The trials, and their scenarios once for all seeds."""
    scenarios: dict[tuple[str, ...], Scenario] = {}
    for trial in trials:
        scenarios.setdefault(_cell(trial), trial.scenario)
    place = {cell: number for number, cell in enumerate(scenarios)}
    return {
        "scenarios": [scenario.as_dict() for scenario in scenarios.values()],
        "trials": [[place[_cell(trial)], *(getattr(trial, key) for key in _OF_TRIAL)] for trial in trials],
    }


def _trials_of(data: dict[str, Any]) -> tuple[Trial, ...]:
    scenarios = [Scenario.model_validate(each) for each in data["scenarios"]]
    found = []
    for place, *values in data["trials"]:
        named = dict(zip(_OF_TRIAL, values, strict=True))
        found.append(Trial(**named, scenario=scenarios[place].model_copy(update={"seed": named["seed"]})))
    return tuple(found)


def _cell(trial: Trial) -> tuple[str, ...]:
    return trial.setting, trial.workload, trial.system, trial.point
