"""Changes of variant and replicas on a cluster, beside the same changes in the simulator.

    python -m tests.live.kubernetes.rollouts

KUBECONFIG names the cluster, IPA_IMAGE our image on it. Both worlds are measured alike, on their replicas' timelines.
The model starts and stops its replicas in the times that the cluster's took at the median; all else is rule 5.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from pathlib import Path
from uuid import uuid4

import numpy as np

from ipa import profiles
from ipa.live.kubernetes import deploy
from ipa.live.kubernetes.api import connect
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend
from ipa.live.kubernetes.readiness import is_alone
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import Plane
from ipa.policies import StageConfiguration
from ipa.sim import FloatArray, ReplicaRecords, RunInput, ServiceTime, StageModel, World, collect_records, create_engine
from tests.live.kubernetes.world import IMAGE, settings_of

WITHIN_S = 180.0
"""How long a change may take on a cluster that is busy."""
FIRST_S = 1.0
"""When the first change is decided."""
STAGE = "sort"

VARIANT = """\
      - name: {name}
        accuracy: {{value: {accuracy}, from: guess}}
        start_up: {{seconds: {start_up_s:g}, from: guess}}
        base_cores: {{pinned: 1, why: for a test}}
        figures:
          - {{cores: 1, batch: 1, mean_s: 0.02, p99_s: 0.02, throughput_rps: 50, from: guess}}
"""
STAGE_TEXT = """\
  - name: {name}
    task: sorts
    accuracy_metric: share
    threshold_rps: 1
    sla: {{pinned_s: 2, why: for a test}}
    variants:
{variants}\
"""
PIPELINE = """\
schema_version: 1
kind: pipeline
name: rollouts
description: Stages of three variants alike.
provenance:
  guess: {{kind: assumed, why: for a test}}
stages:
{stages}\
published:
  {{alpha: 1, beta: 1, gamma: 1e-6, accuracy: product, accuracy_scale: raw, accuracy_floor: 0, batch_cap: 1, \
load_margin: 0, throughput_share: 1, scale_only: {{}}, switch_only_replicas: {{{fixed}}}}}
"""


def asks(variant: str, replicas: int) -> StageConfiguration:
    """So many replicas of a variant, one core each."""
    return StageConfiguration(variant, 1, replicas, 0.0, 1)


@dataclass(frozen=True)
class Change:
    """What stands, and what is asked for then: seconds after the first decision -> configuration."""

    name: str
    initial: StageConfiguration
    decisions: Mapping[float, StageConfiguration]
    max_surge: int | None = None
    max_unavailable: int = 0

    @property
    def last(self) -> StageConfiguration:
        return self.decisions[max(self.decisions)]


def changes(start_up_s: float) -> dict[str, Change]:
    """The changes of the table, by name; a decision in the middle comes while replicas of the one before start."""
    mid = 0.6 * start_up_s
    late = 1.8 * start_up_s
    made = [
        Change("1 -> 3", asks("a", 1), {0.0: asks("a", 3)}),
        Change("4 -> 1", asks("a", 4), {0.0: asks("a", 1)}),
        Change("variant at 2", asks("a", 2), {0.0: asks("b", 2)}),
        Change("variant, 2 -> 3", asks("a", 2), {0.0: asks("b", 3)}),
        Change("variant, 2 -> 4", asks("a", 2), {0.0: asks("b", 4)}),
        Change("variant, 1 -> 4", asks("a", 1), {0.0: asks("b", 4)}),
        Change("variant, 4 -> 2", asks("a", 4), {0.0: asks("b", 2)}),
        Change("variant at 4, surge 2, unavailable 1", asks("a", 4), {0.0: asks("b", 4)}, 2, 1),
        Change("variant at 4, surge 0, unavailable 1", asks("a", 4), {0.0: asks("b", 4)}, 0, 1),
        Change("variant at 4, then back", asks("a", 4), {0.0: asks("b", 4), mid: asks("a", 4)}),
        Change("variant at 4, then late back", asks("a", 4), {0.0: asks("b", 4), late: asks("a", 4)}),
        Change("variant at 2, then a third", asks("a", 2), {0.0: asks("b", 2), mid: asks("c", 2)}),
        Change("variant at 2, then 4", asks("a", 2), {0.0: asks("b", 2), mid: asks("b", 4)}),
        Change("variant at 4, then 2", asks("a", 4), {0.0: asks("b", 4), mid: asks("b", 2)}),
        Change("variant at 2, then a third, 4", asks("a", 2), {0.0: asks("b", 2), mid: asks("c", 4)}),
    ]
    return {each.name: each for each in made}


@dataclass(frozen=True)
class Course:
    """How a change went: the replicas' timelines from t = 0, and when what was decided."""

    change: Change
    replicas: ReplicaRecords
    decided_s: tuple[float, ...]

    def ready(self, at_s: float) -> int:
        """How many serve."""
        return int(np.sum((self.replicas.ready_s <= at_s) & ~(self.replicas.removed_s <= at_s)))

    def existing(self, at_s: float) -> int:
        """How many start or serve."""
        return int(np.sum((self.replicas.created_s <= at_s) & ~(self.replicas.removed_s <= at_s)))

    @property
    def moments_s(self) -> list[float]:
        """When something happened, in order."""
        found = {self.decided_s[0], *self.decided_s}
        for values in (self.replicas.created_s, self.replicas.ready_s, self.replicas.removed_s, self.replicas.gone_s):
            found |= set(values[np.isfinite(values)].tolist())
        return sorted(each for each in found if each >= self.decided_s[0])

    @property
    def least_ready(self) -> int:
        return min(self.ready(at_s) for at_s in self.moments_s)

    @property
    def most_existing(self) -> int:
        return max(self.existing(at_s) for at_s in self.moments_s)

    @property
    def created(self) -> Counter[str]:
        """Replicas created since the first decision, by variant."""
        since = self.replicas.created_s >= self.decided_s[0]
        return Counter(variant for variant, is_new in zip(self.replicas.variant, since, strict=True) if is_new)

    @property
    def whole_s(self) -> float:
        """When, after the first decision, all was as decided last and stayed so: each replica current and ready."""
        wanted, since_s = self.change.last, inf
        current = np.array([variant == wanted.variant for variant in self.replicas.variant])
        for at_s in reversed(self.moments_s):
            here = (self.replicas.ready_s <= at_s) & ~(self.replicas.removed_s <= at_s)
            if not (self.existing(at_s) == int(np.sum(here & current)) == wanted.replicas):
                break
            since_s = at_s
        return since_s - self.decided_s[0]

    @property
    def quiet_s(self) -> float:
        """When the last thing happened."""
        return self.moments_s[-1]

    def core_s(self, until_s: float) -> float:
        """Cores of all replicas, from the first decision on."""
        ends_s = np.fmin(np.where(np.isnan(self.replicas.gone_s), until_s, self.replicas.gone_s), until_s)
        spans_s = ends_s - np.maximum(self.replicas.created_s, self.decided_s[0])
        return float(np.sum(self.replicas.cores * np.maximum(spans_s, 0.0)))

    @property
    def created_after_s(self) -> list[float]:
        """When replicas were created, after the first decision."""
        after_s = self.replicas.created_s - self.decided_s[0]
        return sorted(after_s[after_s >= 0.0].tolist())

    def steps(self) -> Iterator[str]:
        """The ready replicas whenever their number changes."""
        count = -1
        for at_s in self.moments_s:
            if self.ready(at_s) != count:
                count = self.ready(at_s)
                yield f"{count} at {at_s - self.decided_s[0]:.1f}"


def apart_replica_s(one: Course, other: Course) -> float:
    """The area between the numbers of ready replicas of two courses, from the first decision on."""
    first_s, last_s = one.decided_s[0], max(one.quiet_s, other.quiet_s)
    moments_s = sorted({first_s, last_s, *one.moments_s, *other.moments_s})
    return sum((end_s - at_s) * abs(one.ready(at_s) - other.ready(at_s)) for at_s, end_s in pairwise(moments_s))


# ---- the model ----


def in_model(change: Change, decided_s: Sequence[float], start_up_s: float, stop_s: float) -> Course:
    """The change in the simulator, decided at the same moments."""
    variants = {change.initial.variant, *(each.variant for each in change.decisions.values())}
    service = {(variant, 1): ServiceTime((0.0, 0.02)) for variant in variants}
    model = StageModel(STAGE, service, dict.fromkeys(variants, start_up_s), inf)
    duration_s = decided_s[-1] + 20.0 * (start_up_s + stop_s)
    world = World(duration_s, 0.0, stop_s=stop_s, max_surge=change.max_surge, max_unavailable=change.max_unavailable)
    engine = create_engine("simpy", RunInput([model], world, np.array([duration_s]), 1), {STAGE: change.initial})
    decisions = iter(change.decisions.values())
    for _ in engine.steps(iter(decided_s)):
        engine.apply({STAGE: next(decisions)})
    (replicas,) = collect_records(engine).replicas
    return Course(change, replicas, tuple(decided_s))


# ---- the cluster ----


def pipeline(folder: Path, start_up_s: float, namespace: str, stages: Sequence[str] = (STAGE,)) -> Deployed:
    """Stages of three variants each, as deployed."""
    variants = "".join(
        VARIANT.format(name=name, accuracy=accuracy, start_up_s=start_up_s)
        for name, accuracy in (("a", 0.5), ("b", 0.6), ("c", 0.7))
    )
    path = folder / "rollouts.yaml"
    texts = "".join(STAGE_TEXT.format(name=name, variants=variants) for name in stages)
    fixed = ", ".join(f"{name}: 2" for name in stages)
    path.write_text(PIPELINE.format(stages=texts, fixed=fixed), encoding="utf-8")
    plane = Plane(profiles.load(str(path)), str(path))
    return Deployed(
        plane, path.read_text(encoding="utf-8"), namespace, settings=settings_of(image__name=IMAGE, image__pull="Never")
    )


async def on_cluster(deployed: Deployed, change: Change, folder: Path) -> Course:
    """Carry out a change, from what it starts with until nothing is left of before."""
    plane = replace(deployed.plane, max_surge=change.max_surge, max_unavailable=change.max_unavailable)
    backend = KubernetesBackend(replace(deployed, plane=plane), connect(), folder, (0.0,))
    try:
        await backend.open({STAGE: change.initial})
        await backend.start(time.monotonic())
        decided_s: list[float] = []
        for after_s, wanted in change.decisions.items():
            first_s = decided_s[0] if decided_s else FIRST_S
            await asyncio.sleep(first_s + after_s - backend.now_s)
            decided_s.append(backend.now_s)
            applied = await asyncio.to_thread(backend.apply, {STAGE: wanted})
            assert applied.accepted, applied.reason
        last = {STAGE: change.last}
        async with asyncio.timeout(WITHIN_S):
            while not (backend.look.is_complete(last) and is_alone(backend._pods.values(), last)):
                await asyncio.sleep(0.1)
        return Course(change, backend.stages[STAGE].records(), tuple(decided_s))
    finally:
        await backend.close()


@dataclass
class Measured:
    """The courses on a cluster, and what its replicas took at the median."""

    courses: list[Course] = field(default_factory=list)

    @property
    def start_up_s(self) -> FloatArray:
        """Of each replica: from its creation until it is ready."""
        return np.concatenate([_spans(each, each.replicas.created_s, each.replicas.ready_s) for each in self.courses])

    @property
    def stop_s(self) -> FloatArray:
        """Of each replica: from its removal until it is gone."""
        return np.concatenate([_spans(each, each.replicas.removed_s, each.replicas.gone_s) for each in self.courses])

    def beside(self) -> Iterator[tuple[Course, Course]]:
        """Each course, and the model's with the medians of the times above."""
        start_up_s, stop_s = (float(np.median(each)) if len(each) else 0.0 for each in (self.start_up_s, self.stop_s))
        for course in self.courses:
            yield course, in_model(course.change, course.decided_s, start_up_s, stop_s)

    def lines(self) -> Iterator[str]:
        """The table: the cluster's figure / the model's."""
        yield "| change | ready, least | existing, most | created | whole after | core-seconds | apart, replica-s |"
        yield "|---|--:|--:|---|--:|--:|--:|"
        for course, model in self.beside():
            until_s = max(course.quiet_s, model.quiet_s)
            cells = [
                course.change.name,
                _pair(course.least_ready, model.least_ready),
                _pair(course.most_existing, model.most_existing),
                _pair(_tally(course), _tally(model)),
                f"{course.whole_s:.1f} / {model.whole_s:.1f} s",
                f"{course.core_s(until_s):.0f} / {model.core_s(until_s):.0f}",
                f"{apart_replica_s(course, model):.1f}",
            ]
            yield f"| {' | '.join(cells)} |"

    def curves(self) -> Iterator[str]:
        """The ready replicas over time, and when those that were new were created."""
        for course, model in self.beside():
            yield course.change.name
            for world, its in (("cluster", course), ("model", model)):
                yield f"  {world:8} ready {', '.join(its.steps())}"
                yield f"  {'':8} created at {', '.join(f'{at_s:.1f}' for at_s in its.created_after_s)}"


def _spans(course: Course, begun_s: FloatArray, ended_s: FloatArray) -> FloatArray:
    """How long something took that began after the first decision and has ended."""
    spans_s = ended_s - begun_s
    return spans_s[(begun_s >= course.decided_s[0]) & np.isfinite(spans_s)]


def _range(spans_s: FloatArray) -> str:
    return f"{np.median(spans_s):.1f} s ({np.min(spans_s):.1f} to {np.max(spans_s):.1f})" if len(spans_s) else "none"


def _tally(course: Course) -> str:
    return " ".join(f"{count} {variant}" for variant, count in sorted(course.created.items())) or "-"


def _pair(one: object, other: object) -> str:
    return str(one) if one == other else f"{one} / {other}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Rollouts on a cluster beside the simulator's.")
    parser.add_argument("--start-up", type=float, default=5.0, help="of every variant [5 s]")
    parser.add_argument("--only", nargs="*", default=None, metavar="CHANGE", help="some of the table's rows")
    options = parser.parse_args()
    known = changes(options.start_up)
    unknown = [name for name in options.only or () if name not in known]
    if unknown:
        parser.error(f"--only {unknown[0]!r}: should be of: {', '.join(known)}")
    measured = Measured()
    api, namespace = connect(), f"ipa-rollouts-{uuid4().hex[:8]}"
    meta = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    api.request("POST", "/api/v1/namespaces", meta)
    try:
        with tempfile.TemporaryDirectory() as folder:
            deployed = pipeline(Path(folder), options.start_up, namespace)
            deploy.up(api, deployed, {STAGE: asks("a", 1)}, within_s=WITHIN_S)
            for name in options.only or known:
                measured.courses.append(asyncio.run(on_cluster(deployed, known[name], Path(folder))))
                print(f"{name}: {', '.join(measured.courses[-1].steps())}", flush=True)
    finally:
        api.request("DELETE", f"/api/v1/namespaces/{namespace}")
    print(*measured.curves(), sep="\n")
    print(f"start-up {_range(measured.start_up_s)}, stop {_range(measured.stop_s)}")
    print(*measured.lines(), sep="\n")


if __name__ == "__main__":
    main()
