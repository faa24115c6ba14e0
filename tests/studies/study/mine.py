"""A user's study, run by the command; and cells made by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from ipa.studies import Scenario
from ipa.studies.many import Course
from ipa.studies.many.study.findings import StudyCell
from tests.command import ipa

STUDY = """\
schema_version: 1
kind: study
title: mine
pipeline: mine.yaml
workloads: ["constant:5:40", "constant:9:40"]
seeds: 2
settings:
  plain: {title: plain}
  slow: {title: slow decisions, like: plain, systems: [ipa, one], set: {decision_delay_s: 5}}
systems:
  ipa: {title: IPA, policy: ipa}
  one: {policy: "switch-only:1"}
  two: {policy: "switch-only:2"}
parameters:
  - {systems: [ipa], set: {policy.beta: 0.5, hop_s: 0.1}}
  - {systems: [ipa], workloads: ["constant:9:40"], set: {policy.beta: 0.25}}
sweeps:
  weights: {title: other weights, of: ipa, set: {policy.gamma: 0}, vary: {policy.alpha: [1, 10]}}
headline: {curve: weights, gain_over: [one], saving_over: [two]}
"""
"""A user's study beside the pipeline file `mine.yaml`."""


def changed(old: str, new: str) -> None:
    """The study with a part of its text replaced."""
    assert STUDY.count(old) == 1, old
    Path("study.yaml").write_text(STUDY.replace(old, new))


def study(*options: object, folder: str = "out") -> Any:
    """What `ipa study` prints as JSON."""
    result = ipa("study", "study.yaml", "--out", folder, "--jobs", 1, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fresh(folder: str = "out") -> int:
    """How many runs the last command ran."""
    number = json.loads(Path(folder, "manifest.json").read_text())["fresh_runs"]
    assert isinstance(number, int)
    return number


def cell(system: str, point: str = "", **figures: tuple[float, float]) -> StudyCell:
    """A made-up cell of two seeds; figures: cost, pas, and the share of violations."""
    names = {
        "cost": "cost_mean_cores",
        "pas": "pas_mean",
        "late": "sla_violation_rate",
        "infeasible": "infeasible_decisions",
        "decisions": "decisions",
    }
    nothing = dict.fromkeys(("cost", "pas", "late"), (0.0, 0.0))
    outcomes, nothing_yet = {}, np.empty(0, np.int64)
    for seed in (1, 2):
        summary = {names[name]: values[seed - 1] for name, values in (nothing | figures).items()}
        planned = {f"planned_{key}": summary[key] for key in ("cost_mean_cores", "pas_mean")}
        outcomes[seed] = Course({**summary, **planned}, np.empty((0, 0)), nothing_yet, nothing_yet, [])
    return StudyCell("mine", "plain", "load", system, point, Scenario(pipeline="video", trace="load"), outcomes)


def figures(page: str) -> dict[str, Any]:
    """The specifications of a page's figures, by name."""
    found = re.findall(r'<script type="application/json" id="plot-([^"]+)-spec">(.*?)</script>', page)
    return {name: json.loads(spec) for name, spec in found}
