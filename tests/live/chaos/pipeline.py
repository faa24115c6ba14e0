"""The pipeline under chaos: two stages of two variants that start in a moment; and a policy that does as it is told."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipa.policies import Configuration, Decision, Memory, Observation, StageConfiguration
from ipa.profiles import Pipeline

NAME = "chaos"
STAGES = ("find", "sort")
CORES = {"small": 1, "large": 2}

_STAGE = """\
  - name: {name}
    task: {name}s
    accuracy_metric: share
    threshold_rps: 1
    sla: {{pinned_s: 1, why: for a test}}
    variants:
      - name: small
        accuracy: {{value: 0.5, from: guess}}
        start_up: {{seconds: 0.1, from: guess}}
        base_cores: {{pinned: 1, why: for a test}}
        figures:
          - {{cores: 1, batch: 1, mean_s: 0.02, p99_s: 0.02, throughput_rps: 50, from: guess}}
          - {{cores: 1, batch: 4, mean_s: 0.04, p99_s: 0.04, throughput_rps: 100, from: guess}}
      - name: large
        accuracy: {{value: 0.75, from: guess}}
        start_up: {{seconds: 0.3, from: guess}}
        base_cores: {{pinned: 2, why: for a test}}
        figures:
          - {{cores: 2, batch: 1, mean_s: 0.03, p99_s: 0.03, throughput_rps: 33, from: guess}}
          - {{cores: 2, batch: 4, mean_s: 0.06, p99_s: 0.06, throughput_rps: 66, from: guess}}
"""

TEXT = f"""\
schema_version: 1
kind: pipeline
name: {NAME}
description: Two stages of two variants that start in a moment.
provenance:
  guess: {{kind: assumed, why: for a test}}
stages:
{"".join(_STAGE.format(name=name) for name in STAGES)}
published:
  {{alpha: 1, beta: 1, gamma: 1e-6, accuracy: product, accuracy_scale: raw, accuracy_floor: 0, batch_cap: 4, \
load_margin: 0, throughput_share: 1, scale_only: {{}}, switch_only_replicas: {{find: 2, sort: 2}}}}
"""

SCENARIO = """\
schema_version: 1
kind: scenario
pipeline: chaos.yaml
policy: policy.py:Told
interval_s: 1
history_s: 3
"""

POLICY = "from tests.live.chaos.pipeline import Told\n"

FIRST = {name: {"variant": "small", "batch": 4, "replicas": 2, "batch_timeout_s": 0.0, "cores": 1} for name in STAGES}


class Told:
    """Decides what the file that IPA_CHAOS_WANTED names says."""

    def __init__(self, pipeline: Pipeline) -> None:
        pass

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The configuration in the file."""
        told = json.loads(Path(os.environ["IPA_CHAOS_WANTED"]).read_text(encoding="utf-8"))
        return Decision(configuration(told), memory)


def configuration(told: Mapping[str, Mapping[str, Any]]) -> Configuration:
    """A configuration from what a file says."""
    return {name: StageConfiguration(**stage) for name, stage in told.items()}


def draw_configuration(drawn: random.Random) -> Mapping[str, Any]:
    """Parameters of a fault: another configuration."""

    def stage() -> dict[str, Any]:
        variant = drawn.choice(("small", "large"))
        return {
            "variant": variant,
            "batch": drawn.choice((1, 4)),
            "replicas": drawn.choice((1, 2, 3)),
            "batch_timeout_s": drawn.choice((0.0, 0.02)),
            "cores": CORES[variant],
        }

    return {"wanted": {name: stage() for name in STAGES}}


class Wanted:
    """The file that the policy reads."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wanted.json"
        (folder / f"{NAME}.yaml").write_text(TEXT, encoding="utf-8")
        (folder / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
        (folder / "policy.py").write_text(POLICY, encoding="utf-8")
        self.environment = {"IPA_CHAOS_WANTED": str(self._file)}
        self.set(FIRST)

    def set(self, told: Mapping[str, Any]) -> None:
        """Have the policy decide this from its next step on."""
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(told), encoding="utf-8")
        beside.replace(self._file)
        self.now = told
