"""The alert of each trouble fires for the series that the trouble makes, and not for what passes: promtool says so."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pytest

from ipa.live.kubernetes import failed_variants
from ipa.live.kubernetes.controller_manifests import ALERTS, alert_rules
from ipa.live.kubernetes.foreign_scalers import Dispute, judged
from ipa.live.kubernetes.manifest_parts import NODE_LOST_FOR_S
from ipa.live.kubernetes.room import FoundRoom
from ipa.live.kubernetes.timeline import PodReplicas
from ipa.live.live_backend import TROUBLES
from tests.live.kubernetes.test_room import look
from tests.live.kubernetes.world import tiny
from tests.live.world import sort

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")

STEP_S = 10
"""A controller decides this often."""
HANGS_S = 64
"""A variant that hangs is given up after so long."""
LONG_S = 1800

Course = Sequence[bool]
"""Second by second from 0, whether a trouble is there."""


def spans(*lengths_s: int) -> Course:
    """On for so long, then off for so long, and so on."""
    return [at % 2 == 0 for at, length_s in enumerate(lengths_s) for _ in range(length_s)]


def crashing(serves_s: int) -> Course:
    """What serves for a moment, and is started again after a pause that doubles, as Kubernetes does it."""
    return spans(*(length_s for at in range(8) for length_s in (min(10 * 2**at, 300), serves_s)))


# ---- the series of the real things ----


def failing_variant(_: Path) -> Course:
    """A policy chooses it whenever it may; each time it is given up, and left out for a while."""
    stage, fails_s, course = PodReplicas("sort", sort()["sort"]), HANGS_S, []
    for now_s in range(LONG_S):
        if now_s % STEP_S == 0:
            was_left_out = bool(stage.failed_variants)
            stage.forgive(float(now_s))
            if was_left_out and not stage.failed_variants:
                fails_s = now_s + HANGS_S
        if now_s == fails_s:
            stage.excluded["large"] = float(now_s)
        course.append(bool(failed_variants.trouble({"sort": stage}, {})))
    return course


def full_quota(folder: Path) -> Course:
    """A policy wants three replicas; two have room. It wants no more while its limit says so."""
    full, fits = look(folder, 2, 0, quota="exceeded quota: few"), look(folder, 2, 0)
    room, wants_more, course = FoundRoom(1, nodes_within_s=180.0), True, []
    for now_s in range(LONG_S):
        if now_s % STEP_S == 0:
            wants_more = room.cores is None
        room.note(now := full if wants_more else fits, float(now_s))
        course.append(bool(room.trouble(now)))
    return course


def node_that_comes(folder: Path) -> Course:
    """After 170 s, within the time that a node may take; then all is well."""
    full, fits = look(folder, 1, 1), look(folder, 2, 0)
    room, course = FoundRoom(1, nodes_within_s=180.0), []
    for now_s in range(LONG_S):
        room.note(now := full if now_s < 170 else fits, float(now_s))
        course.append(bool(room.trouble(now)))
    return course


def fighting_autoscaler(_: Path) -> Course:
    """It sets its number again 15 s after that was set back."""
    dispute, again_s, course = Dispute(), 0, []
    for now_s in range(LONG_S):
        is_foreign = dispute.stands_aside or now_s >= again_s
        before = dispute
        dispute = judged(before, 5 if is_foreign else 2, not is_foreign, "web", "web", float(now_s))
        if len(dispute.set_back_s) and dispute.set_back_s[-1] == now_s:
            again_s = now_s + 15
        course.append(bool(dispute.said(2)))
    return course


def person_who_scales(_: Path) -> Course:
    """Once; it is set back."""
    dispute, course = Dispute(), []
    for now_s in range(LONG_S):
        dispute = judged(dispute, 5 if now_s == 0 else 2, now_s > 0, "kubectl", "", float(now_s))
        course.append(bool(dispute.said(2)))
    return course


# ---- what promtool says of them ----

Cases = dict[str, tuple[str, Callable[[Path], Course] | Course, int | None]]

CASES: Cases = {
    # name: (trouble, its course, from which minute on its alert fires as long as that goes on, or None: never)
    "a variant that fails whenever it is tried": ("failed_variant", failing_variant, 3),
    "a quota that a policy tries again and again": ("no_room", full_quota, 12),
    "a node that comes in time": ("no_room", node_that_comes, None),
    "an autoscaler that fights": ("foreign_scaler", fighting_autoscaler, 9),
    "a person who scales once": ("foreign_scaler", person_who_scales, None),
    "a node is lost": ("lost_node", spans(NODE_LOST_FOR_S + 5, 240), 1),
    "a gateway that is replaced": ("no_gateway", spans(3, LONG_S), None),
    "a gateway that does not come": ("no_gateway", spans(LONG_S), 3),
    "a gateway that crashes": ("no_gateway", crashing(serves_s=5), 3),
    "an only replica that is replaced": ("no_replica", spans(10, LONG_S), None),
    "an only replica that runs out of memory": ("no_replica", crashing(serves_s=20), 4),
    "samples that come now and then": ("no_sample", spans(*[20, 10] * 60), 4),
    "a sample that is missing": ("no_sample", spans(STEP_S, LONG_S), None),
    "an API server that answers now and then": ("no_api", spans(*[3, 2] * 240), 4),
    "an API server that is restarted": ("no_api", spans(30, LONG_S), None),
    "a controller without its Lease": ("no_lease", spans(LONG_S), 4),
    "a controller that takes over": ("no_lease", spans(12, LONG_S), None),
    "a paused Deployment": ("stopped", spans(LONG_S), 7),
    "the kill switch": ("held", spans(4200), 62),
}


@pytest.mark.long
@needs_promtool
@pytest.mark.parametrize("every", ["15s", "1m"])
def test_an_alert_fires_for_what_stays_and_not_for_what_passes(every: str, tmp_path: Path) -> None:
    for name, (kind, course, within_min) in CASES.items():
        there = course(tmp_path) if callable(course) else course
        values = " ".join(f"{int(is_there)}x{len(list(run)) - 1}" for is_there, run in groupby(there))
        minutes = range(within_min or 0, len(there) // 60 + 1)
        write_test(tmp_path, name, kind, values, dict.fromkeys(minutes, within_min is not None), every)
    promtool(tmp_path)


@needs_promtool
def test_an_alert_fires_if_no_controller_is_heard_of(tmp_path: Path) -> None:
    """One that crashes again and again serves its metrics for moments."""
    crashing = " ".join(f"0x5 stale {'_ ' * pause_s}" for pause_s in (10, 20, 40, 80, 160, 300))
    never = dict.fromkeys(range(10), False)
    for name, values, fires in (
        ("is heard", "0x600", never),
        ("is restarted", f"0x60 stale {'_ ' * 20} 0x600", never),
        ("crashes", crashing, {2: False, 10: True}),
    ):
        write_test(tmp_path, name, "no_controller", values, fires, "15s")
    promtool(tmp_path)


def write_test(folder: Path, name: str, kind: str, values: str, fires: Mapping[int, bool], every: str) -> None:
    """Write down that the alert of a trouble with these samples, one a second, fires in those minutes. Only its rule is
    evaluated, which takes promtool a tenth of the time."""
    alert = "Ipa" + kind.title().replace("_", "")
    (group,) = alert_rules(tiny(folder))["spec"]["groups"]
    (rule,) = [each for each in group["rules"] if each["alert"] == alert]
    firing = [{"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}]
    labels = f'namespace="default",pod="ipa-tiny-controller-6f7-x2x",container="controller",kind="{kind}"'
    test = {
        "name": name,
        "interval": "1s",
        "input_series": [{"series": f"ipa_trouble{{{labels}}}", "values": values}],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": firing if is_firing else []}
            for minute, is_firing in fires.items()
        ],
    }
    rules = {"groups": [{**group, "rules": [rule]}]}
    (folder / f"{kind}.rules.yaml").write_text(json.dumps(rules), encoding="utf-8")
    whole = {"rule_files": [f"{kind}.rules.yaml"], "evaluation_interval": every, "tests": [test]}
    (folder / f"{name}.test.yaml").write_text(json.dumps(whole), encoding="utf-8")


def promtool(folder: Path) -> None:
    """Fail unless the alerts pass the tests that were written down."""
    files = sorted(path.name for path in folder.glob("*.test.yaml"))
    done = subprocess.run(
        ["promtool", "test", "rules", *files], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_an_alert_for_every_trouble_and_each_is_tried() -> None:
    assert {kind for kind, *_ in CASES.values()} == TROUBLES.keys() == ALERTS.keys()
