"""The options of each stage for one load: a variant, a batch size, and the replicas that sustain the load.

They are plain parallel lists, which any solver can turn into its own arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress
from math import ceil
from operator import mul

from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.table import Row

# No further replica for a load that is sustained up to rounding.
SLACK = 1e-9
# The wait for a batch that never fills: far beyond any SLA, but short enough to add up in nanoseconds.
LONGEST_WAIT_NS = 1_000_000 * NS
# As good as unbounded.
FREE = (1, 1 << 31)


@dataclass(frozen=True, slots=True)
class StageOptions:
    """One stage's options; `cut` counts those left out because they need too many replicas."""

    rows: Sequence[Row]
    replicas: list[int]
    latency_ns: list[int]
    cores: list[int]
    loss: list[int]
    accuracy: Sequence[int]
    cut: int

    def only(self, indices: Sequence[int]) -> StageOptions:
        """Some of the options, in the order given."""
        return StageOptions(
            rows=[self.rows[i] for i in indices],
            replicas=[self.replicas[i] for i in indices],
            latency_ns=[self.latency_ns[i] for i in indices],
            cores=[self.cores[i] for i in indices],
            loss=[self.loss[i] for i in indices],
            accuracy=[self.accuracy[i] for i in indices],
            cut=self.cut,
        )


def replicas_for(load_rps: float, throughput_rps: float) -> int:
    """The fewest replicas that sustain a load: max(1, ceil(load / h - 1e-9))."""
    return ceil(load_rps / throughput_rps - SLACK) or 1


def options(
    problem: Problem,
    wanted: Sequence[Collection[str]],
    *,
    sustain_rps: float | None = None,
    accuracy_matters: bool = True,
    replicas_bound: bool = True,
) -> tuple[StageOptions, ...]:
    """For each stage, the options with the `wanted` variants that sustain the load.

    With `sustain_rps`, they need to sustain only that, although their queues fill at the load. Without
    `replicas_bound`, replicas are free and unlimited whatever the problem says.
    """
    table, load = problem.programme.table, problem.load_rps
    sustained = load if sustain_rps is None else sustain_rps
    changed_loss, core_loss = table.scales.changed_loss, table.scales.core_loss
    stages = []
    for k, stage in enumerate(table.stages):
        fixed = problem.replicas[stage.name] if problem.replicas and replicas_bound else 0
        least, most = problem.bounds(stage.name) if replicas_bound else FREE
        waits = waits_ns(problem, k, stage.batches)
        every = chosen = stage.select(wanted[k], load <= 0)
        # As `replicas_for`, but inline: a large pipeline has hundreds of rows.
        counts = [ceil(sustained / each - SLACK) or 1 for each in every.throughput_rps]
        if max(counts) > (fixed or most):
            sustaining = [count <= (fixed or most) for count in counts]
            chosen, counts = every.where(sustaining), list(compress(counts, sustaining))
        if fixed:
            counts = [fixed] * len(counts)
        elif least > 1:
            counts = [count if count > least else least for count in counts]
        rows = chosen.rows
        cores = list(map(mul, counts, chosen.cores))
        bare = chosen.loss if accuracy_matters else chosen.bare_loss
        loss = [each + used * core_loss for each, used in zip(bare, cores, strict=True)]
        kept = _kept(problem, stage.name)
        if kept is not None:
            for i, row in enumerate(rows):
                if row.batch == kept[1] and row.variant == kept[0]:
                    loss[i] -= changed_loss
        stages.append(
            StageOptions(
                rows=rows,
                replicas=counts,
                latency_ns=[each + waits[batch] for each, batch in zip(chosen.latency_ns, chosen.batch, strict=True)],
                cores=cores,
                loss=loss,
                accuracy=chosen.accuracy,
                cut=len(every.rows) - len(rows),
            )
        )
    return tuple(stages)


def waits_ns(problem: Problem, stage: int, batches: Collection[int]) -> dict[int, int]:
    """Batch size -> the longest wait for it to fill, (b - 1) / load [ns]; 0 at zero load. `stage` is a position.

    With `published_queue_defect`, the published code's term, whatever the batch: -|M_s| (|B| - 1) / load.
    """
    load = problem.load_rps
    if load <= 0:
        return dict.fromkeys(batches, 0)
    if problem.programme.published_queue_defect:
        loosened = -problem.programme.table.published_wait_ns[stage]
        return dict.fromkeys(batches, -round(min(loosened / load, LONGEST_WAIT_NS)))
    return {batch: round(min((batch - 1) * NS / load, LONGEST_WAIT_NS)) for batch in batches}


def _kept(problem: Problem, stage: str) -> tuple[str, int] | None:
    if problem.current is None or stage not in problem.current:
        return None
    at_hand = problem.current[stage]
    return at_hand.variant, at_hand.batch
