"""The rules that hold back changes of a stage, and their settings: wanted configuration, situation -> what it gets.

All compare configurations by the load they sustain: replicas x profiled throughput. So they work across variants and
batch sizes. A mix sustains the load at which the first of its variants reaches its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipa.policies import checks
from ipa.policies.interface import ReplicaCounts, StageConfiguration, StageObservation, mix_of
from ipa.policies.optimiser import SLACK, replicas_for
from ipa.profiles import Stage


@dataclass(frozen=True)
class Steadiness:
    """The settings of `Steady`; the defaults guard nothing.

    `hysteresis`: a stage keeps its variant, batch size and replicas if the wanted configuration has the same variant
    and cores and sustains the same load within this share; in a mix, each of the variants. `scale_down_window_s`: a
    stage sustains at least the most that was wanted within this many seconds. `max_step_up`, `max_step_down`: the most
    replicas that one decision adds to or removes from a stage, in a mix each variant; None: any number.
    `wait_for_starting`: no replicas are added while the ready and starting ones are enough. `variant_stays_s`: the
    least time for which a stage keeps a variant, or those of a mix. `flap_budget`: the most changes of a stage within
    `flap_window_s`; None: any number.

    PolicyError: a value out of range.
    """

    hysteresis: float = 0.0
    scale_down_window_s: float = 0.0
    max_step_up: int | None = None
    max_step_down: int | None = None
    wait_for_starting: bool = False
    variant_stays_s: float = 0.0
    flap_budget: int | None = None
    flap_window_s: float = 600.0

    def __post_init__(self) -> None:
        checks.number("hysteresis", self.hysteresis, at_least=0, at_most=1)
        checks.number("scale_down_window_s", self.scale_down_window_s, at_least=0)
        checks.number("variant_stays_s", self.variant_stays_s, at_least=0)
        checks.number("flap_window_s", self.flap_window_s, above=0)
        checks.flag("wait_for_starting", self.wait_for_starting)
        for key in ("max_step_up", "max_step_down", "flap_budget"):
            if getattr(self, key) is not None:
                checks.integer(key, getattr(self, key))

    @property
    def is_on(self) -> bool:
        """Whether anything is guarded."""
        return self != Steadiness(flap_window_s=self.flap_window_s)


@dataclass(frozen=True, slots=True)
class Situation:
    """A stage at one decision.

    `now`: the present configuration. `wished`: the configurations wanted within the scale-down window, oldest first,
    including this decision's. `planned_rps`: the load that the profiled throughput must reach for the plan; None if the
    policy does not say. `expected_rps`: the forecast or, if higher, the recent load; None without either.
    `variant_for_s`: how long the present variants have been desired. `changes`: within the flap window.
    """

    stage: Stage
    seen: StageObservation
    wished: Sequence[StageConfiguration]
    planned_rps: float | None
    expected_rps: float | None
    variant_for_s: float
    changes: int

    @property
    def now(self) -> StageConfiguration:
        return self.seen.configuration

    @property
    def has_failed(self) -> bool:
        """Whether a present variant cannot serve."""
        return any(part.variant in self.seen.failed_variants for part in self.now.parts)

    def has_variants_of(self, wanted: StageConfiguration) -> bool:
        """Whether the present variants are those wanted."""
        return variants_of(wanted) == variants_of(self.now)

    def present(self, part: StageConfiguration) -> StageConfiguration:
        """What is desired at present of a part's variant."""
        return next(each for each in self.now.parts if each.variant == part.variant)

    def replica_rps(self, of: StageConfiguration) -> float:
        """What one replica of a part sustains."""
        return self.stage.variant(of.variant).throughput_rps(of.batch, of.cores)

    def rps(self, of: StageConfiguration) -> float:
        """What all replicas sustain; of a mix, until the first of its variants is at its limit."""
        return min(part.replicas * self.replica_rps(part) / part.share for part in of.parts)

    def now_with(self, wanted: StageConfiguration) -> StageConfiguration:
        """The present variants, shares and batch sizes, with the replicas that sustain what `wanted` needs to.

        That is the load it sustains, or less if the plan needs less: a replica of it may sustain another load than a
        present one.
        """
        needed_rps = self.rps(wanted)
        wanted_rps, present_rps = (sorted(map(self.replica_rps, each.parts)) for each in (wanted, self.now))
        if self.planned_rps is not None and wanted_rps != present_rps:
            needed_rps = min(needed_rps, self.planned_rps)
        return mix_of(
            [
                replace(part, replicas=replicas_for(needed_rps * part.share, self.replica_rps(part)))
                for part in self.now.parts
            ]
        )


def variants_of(stage: StageConfiguration) -> frozenset[str]:
    """The variants of a configuration."""
    return frozenset(part.variant for part in stage.parts)


def counted(stage: StageConfiguration) -> list[tuple[str, int, int, int]]:
    """The parts of a configuration that make a change if they differ."""
    return sorted((part.variant, part.batch, part.replicas, part.cores) for part in stage.parts)


def is_same(one: StageConfiguration, other: StageConfiguration) -> bool:
    """Whether the two are the same to the rules, which ignore shares and batch timeouts of mixes."""
    return one == other or (one.is_mix and counted(one) == counted(other))


Rule = Callable[[StageConfiguration, Situation, Steadiness], tuple[StageConfiguration, str]]
"""(wanted, situation, settings) -> what the stage gets, and why if that is something else."""


def hold_the_way_down(
    wanted: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """The configuration of the window that sustains most, the latest of equals (Kubernetes' stabilisation window)."""
    working = [each for each in at.wished if variants_of(each).isdisjoint(at.seen.failed_variants)] or [wanted]
    most = max(reversed(working), key=at.rps)
    if at.rps(most) <= at.rps(wanted) * (1 + SLACK):
        return wanted, ""
    return most, f"wanted within {settings.scale_down_window_s:g} s"


def keep_the_variant(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """The present variants for their time, with as many replicas as the plan needs of them."""
    if at.has_variants_of(wanted) or at.has_failed or at.variant_for_s >= settings.variant_stays_s:
        return wanted, ""
    stay = "stay" if at.now.is_mix else "stays"
    return at.now_with(wanted), f"{at.now.variants} {stay} {settings.variant_stays_s:g} s, now {at.variant_for_s:g}"


def ignore_the_small(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """The present configuration, if the wanted one has the same variants and cores and each sustains about as much."""
    same = at.has_variants_of(wanted) and all(part.cores == at.present(part).cores for part in wanted.parts)
    if not settings.hysteresis or not same or wanted == at.now:
        return wanted, ""

    def sustained_rps(part: StageConfiguration) -> float:
        return part.replicas * at.replica_rps(part)

    before = [(sustained_rps(part), sustained_rps(at.present(part))) for part in wanted.parts]
    share = max(abs(wanted_rps - now_rps) / now_rps for wanted_rps, now_rps in before)
    if share > settings.hysteresis * (1 + SLACK):
        return wanted, ""
    return at.now, f"{100 * share:.3g} % is within {100 * settings.hysteresis:g} %"


def limit_the_step(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """Each variant's replicas within the step of its present ones; a new variant's within that of as much throughput.

    With other shares of the same variants, both limits hold.
    """
    up, down = settings.max_step_up, settings.max_step_down
    parts, whys = [], []
    for part in wanted.parts:
        bases = [replicas_for(at.rps(at.now) * part.share, at.replica_rps(part))]
        if at.has_variants_of(wanted):
            present = at.present(part)
            bases = [present.replicas] if present.share == part.share else [present.replicas, *bases]
        replicas = part.replicas
        if up is not None and replicas > max(bases) + up:
            replicas = max(bases) + up
            whys.append(f"at most {up} more")
        elif down is not None and replicas < min(bases) - down:
            replicas = min(bases) - down
            whys.append(f"at most {down} fewer")
        parts.append(replace(part, replicas=replicas))
    return mix_of(parts), ", ".join(dict.fromkeys(whys))


def wait_for_the_starting(
    wanted: StageConfiguration, at: Situation, settings: Steadiness
) -> tuple[StageConfiguration, str]:
    """No further replicas of a variant while some are starting that, with the ready ones, sustain its expected load.

    After the pending guard of AIBrix (its issue 2670): metrics stay high until requested replicas are ready, and a
    policy that follows them requests more each time.
    """
    if not (settings.wait_for_starting and at.has_variants_of(wanted)):
        return wanted, ""
    parts, starting = [], 0
    for part in wanted.parts:
        counts, present = at.seen.replicas.get(part.variant, ReplicaCounts()), at.present(part)
        coming_rps = (counts.starting + counts.ready) * at.replica_rps(part)
        lacks = at.expected_rps is not None and coming_rps < at.expected_rps * part.share * (1 - SLACK)
        if part.replicas > present.replicas and counts.starting and not lacks:
            parts.append(replace(part, replicas=present.replicas))
            starting += counts.starting
        else:
            parts.append(part)
    return mix_of(parts), f"{starting} are starting, which is enough" if starting else ""


def spend_no_more(wanted: StageConfiguration, at: Situation, settings: Steadiness) -> tuple[StageConfiguration, str]:
    """With the budget spent, only further replicas of the present variant if the plan needs them; they do not count."""
    is_spent = settings.flap_budget is not None and at.changes >= settings.flap_budget
    if not is_spent or is_same(wanted, at.now) or at.has_failed:
        return wanted, ""
    more = at.now_with(wanted)
    kept = [
        replace(part, replicas=max(part.replicas, needed.replicas))
        for part, needed in zip(at.now.parts, more.parts, strict=True)
    ]
    return mix_of(kept), f"{at.changes} changes in {settings.flap_window_s:g} s"


RULES: tuple[tuple[str, Rule], ...] = (
    ("scale-down window", hold_the_way_down),
    ("variant stays", keep_the_variant),
    ("hysteresis", ignore_the_small),
    ("step limit", limit_the_step),
    ("starting", wait_for_the_starting),
    ("flap budget", spend_no_more),
)
"""In the order of application, each on the result of the previous one."""
