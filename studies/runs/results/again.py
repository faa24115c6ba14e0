"""What made a results folder, as it can be asked again with other values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipa.studies import scenario as scenarios
from ipa.studies.runs.results.manifest import MANIFEST, read_manifest
from ipa.studies.scenario import Scenario, ScenarioError

LISTED = ("grid", "list")
"""Samples of a sweep whose points its manifest lists."""


@dataclass(frozen=True)
class Question:
    """What made a folder of the kind `run`, `runs` (a comparison) or `sweep`.

    `scenario`: that of the run, of the sweep, or of the comparison with its first seed, without a policy of its own.
    `policies` and `seeds` of a comparison: as `compare` takes them; of a sweep `options`: as `sweeps.Options` has them.
    """

    kind: str
    scenario: Scenario
    policies: tuple[Mapping[str, Any], ...] = ()
    seeds: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


def asked(what: str | Path) -> Question | None:
    """What made a results folder, which `what` names, or its manifest; None where it names neither.

    Raises ScenarioError for a folder that cannot be asked again, as that of a study.
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
            return _comparison([_scenario(read_manifest(folder / name), folder / name) for name in manifest["runs"]])
        case "sweep":
            return Question("sweep", _scenario(manifest, folder), options=_options(manifest, folder))
    raise ScenarioError(f"{folder}: holds a study; run its file again, with other values in it")


def find(
    name_or_path: str, values: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Scenario:
    """The scenario of that name: a pipeline, a pipeline file, a scenario file, or a results folder.

    `values`, by dotted key, override what it says; `defaults` are for keys that a file does not have. Raises
    ProfileError or ScenarioError where it is none of these, and for a comparison unless `values` name the policy.
    """
    question = asked(name_or_path)
    if question is None:
        return scenarios.find(name_or_path, values, defaults)
    if question.kind == "runs" and not {"policy", "policy.name"} & set(values or {}):
        raise ScenarioError(
            f"{name_or_path}: holds a comparison of {len(question.policies)} policies; name one with --policy, or give "
            "the folder of a run in it"
        )
    return question.scenario.with_values(values or {})


def _scenario(manifest: Mapping[str, Any], folder: Path) -> Scenario:
    try:
        return Scenario(**manifest["scenario"])
    except (KeyError, TypeError):
        raise ScenarioError(f"{folder / MANIFEST}: the key 'scenario' should hold a scenario") from None
    except ScenarioError as error:
        raise ScenarioError(f"{folder / MANIFEST}: scenario: {error}") from None


def _comparison(runs: Sequence[Scenario]) -> Question:
    policies = {run.policy.title: run.policy for run in runs}
    first = min(run.seed for run in runs)
    return Question(
        "runs",
        runs[0].with_values({"policy": "ipa", "seed": first}),
        tuple(
            # What --set gave it stands beside its name: its title stays what it was called.
            {**policy.model_dump(), **({"label": policy.title} if policy.parameters else {})}
            for policy in policies.values()
        ),
        len({run.seed for run in runs}),
    )


def _options(manifest: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The options of a sweep, as texts of the command line."""
    for key in ("vary", "where", "until", "seeds"):
        if not isinstance(manifest.get(key), list):
            raise ScenarioError(f"{folder / MANIFEST}: the key {key!r} should hold a list")
    vary = manifest["vary"]
    for each in vary:
        values = each.get("values", []) if isinstance(each, dict) else None
        if not isinstance(values, list) or "key" not in each:
            text = f"should be a key with its values; given {json.dumps(each)[:40]}"
            raise ScenarioError(f"{folder / MANIFEST}: vary: {text}")
    if manifest.get("sample") not in LISTED or any("values" not in each for each in vary):
        raise ScenarioError(f"{folder}: holds a sweep of drawn points; repeat its command with other values")
    axes = [(each.get("when"), f"{each['key']}={','.join(map(json.dumps, each['values']))}") for each in vary]
    return {
        "vary": [axis for when, axis in axes if when is None],
        "when": [f"{when}: {axis}" for when, axis in axes if when is not None],
        "where": manifest["where"],
        "sample": manifest["sample"],
        "until": manifest["until"],
        "seeds": None if manifest["until"] else len(manifest["seeds"]),
    }
