"""The scenario or command that made a results folder, to be run again with other values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipa.studies import scenario as scenarios
from ipa.studies.runs.results.kept import KeptInputs
from ipa.studies.runs.results.manifest import MANIFEST, read_manifest
from ipa.studies.scenario import PolicyChoice, Scenario, ScenarioError


@dataclass(frozen=True)
class Question:
    """What made a folder of the kind `run`, `runs` (a comparison) or `sweep`, with the files that its runs have read.

    `scenario`: that of the run, of the sweep, or of the comparison with its first seed and the default policy.
    `policies` and `seeds`, for a comparison: as for `compare`. `options`, for a sweep: as in `SweepOptions`.
    """

    kind: str
    scenario: Scenario
    policies: tuple[Mapping[str, Any], ...] = ()
    seeds: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_title(self) -> Mapping[str, Mapping[str, Any]]:
        """The policies of a comparison by their titles."""
        return {PolicyChoice.model_validate(policy).title: policy for policy in self.policies}


def asked(what: str | Path) -> Question | None:
    """What made the results folder at `what`, or of the manifest there; None if it is neither.

    Raises ScenarioError for a folder that cannot be run again this way, such as a study's.
    """
    path = Path(what)
    folder = path.parent if path.name == MANIFEST else path
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_manifest(folder)
    match manifest["kind"]:
        case "run":
            return Question("run", _scenario(manifest, folder))
        case "runs":
            try:
                of_policies = [{**manifest, "scenario": run} for run in manifest["scenarios"]]
                seeds = len({run["seed"] for run in manifest["runs"]})
            except (KeyError, TypeError):
                raise ScenarioError(f"{folder / MANIFEST}: does not say which policies were compared") from None
            return _comparison([_scenario(run, folder) for run in of_policies], seeds)
        case "sweep":
            if manifest.get("finished") is False:
                raise ScenarioError(f"{folder}: the sweep is not finished; run the same command again to resume it")
            options = _options(KeptInputs.of(manifest, folder).points(manifest), folder)
            return Question("sweep", _scenario(manifest, folder), options=options)
        case "tuning":
            raise ScenarioError(f"{folder}: holds a tuning, whose best setting is {folder / 'best.yaml'}")
    raise ScenarioError(
        f"{folder}: holds a study; run `ipa study` with its file and other values in it, or ask one of its runs with "
        f"other values: ipa explore {folder}"
    )


def find(
    name_or_path: str, values: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Scenario:
    """The scenario of that name: a pipeline, a pipeline file, a scenario file, or a results folder.

    `values`, by dotted key, override its own; `defaults` are for keys that a file does not have. Raises ProfileError or
    ScenarioError if it is none of these, and for a comparison unless `values` name the policy.
    """
    question = asked(name_or_path)
    if question is None:
        return scenarios.find(name_or_path, values, defaults)
    values = dict(values or {})
    if question.kind == "runs":
        if not {"policy", "policy.name"} & set(values):
            titles = ", ".join(map(str, question.by_title))
            raise ScenarioError(
                f"{name_or_path}: holds a comparison of {len(question.policies)} policies; name one with --policy: "
                f"{titles}"
            )
        if isinstance(title := values.get("policy"), str):
            values["policy"] = question.by_title.get(title, title)
    return question.scenario.with_values(values)


def _scenario(manifest: Mapping[str, Any], folder: Path) -> Scenario:
    try:
        return KeptInputs.of(manifest, folder).scenario(Scenario(**manifest["scenario"]))
    except (KeyError, TypeError):
        raise ScenarioError(f"{folder / MANIFEST}: the key 'scenario' should hold a scenario") from None
    except ScenarioError as error:
        raise ScenarioError(f"{folder / MANIFEST}: scenario: {error}") from None


def _comparison(runs: Sequence[Scenario], seeds: int) -> Question:
    policies = {run.policy.title: run.policy for run in runs}
    first = min(run.seed for run in runs)
    return Question(
        "runs",
        runs[0].with_values({"policy": "ipa", "seed": first}),
        tuple(
            # Parameters from --set are not in its name, so the label keeps its title.
            {**policy.model_dump(), **({"label": policy.title} if policy.parameters else {})}
            for policy in policies.values()
        ),
        seeds,
    )


def _options(manifest: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The options of a sweep as command-line texts; sampled points are drawn again from the same seed."""
    for key in ("vary", "where", "seeds"):
        if not isinstance(manifest.get(key), list):
            raise ScenarioError(f"{folder / MANIFEST}: the key {key!r} should hold a list")
    if not isinstance(manifest.get("drawn"), str | None):
        raise ScenarioError(f"{folder / MANIFEST}: the key 'drawn' should say how points are drawn, such as 128")
    return {
        "vary": [f"{axis['key']}={_values(axis)}" for axis in _axes(manifest["vary"], folder)],
        "where": manifest["where"],
        "points": manifest.get("drawn"),
        "seeds": len(manifest["seeds"]),
    }


def _axes(vary: Sequence[Any], folder: Path) -> Sequence[Mapping[str, Any]]:
    """The axes of a sweep. Raises ScenarioError if one is malformed."""
    for axis in vary:
        whole = isinstance(axis, dict) and "key" in axis
        ends = [axis.get("from"), axis.get("to")] if whole else []
        if not whole or not (isinstance(axis.get("values"), list) or all(isinstance(end, float) for end in ends)):
            text = f"should be a key with its values; given {json.dumps(axis)[:40]}"
            raise ScenarioError(f"{folder / MANIFEST}: vary: {text}")
    return vary


def _values(axis: Mapping[str, Any]) -> str:
    """The values of an axis, or its two ends, as a command-line text."""
    if "values" in axis:
        return ",".join(map(json.dumps, axis["values"]))
    return f"{axis['from']!r}:{axis['to']!r}" + (":log" if axis.get("scale") == "log" else "")
