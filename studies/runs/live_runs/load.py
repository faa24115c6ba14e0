"""The load of a live run: the tokens of its requests, the table of its answers, and what was lost of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ipa.studies.runs.live_runs.samples import Checked
from ipa.studies.scenario import (
    Scenario,
    models_of,
    token_columns_of,
    world_of,
)
from ipa.traces import Trace

if TYPE_CHECKING:
    import pandas as pd

    from ipa.live import Sent
    from ipa.profiles import Pipeline
    from ipa.sim import FloatArray, IntArray

MOST_ITEMS = 100
"""Of how many items of a request at one stage the load says the tokens."""

UNKNOWN_STATUS = -2
"""Stands for an HTTP status that is no longer known."""

LATE_SHARE = 0.01
"""The share of requests sent late above which the latencies cannot be trusted."""

MOST_LOST = 0.05
"""The largest share of dropped, failed and unfinished requests of a live run that does not count as failed."""
MOST_NAMED = 3
"""How many reasons for lost requests are named."""


def drawn_tokens(
    scenario: Scenario, pipeline: Pipeline, trace: Trace, arrivals_s: FloatArray
) -> dict[str, tuple[IntArray, IntArray]]:
    """By stage of language models, the input and output tokens of these requests' items, as a simulation draws them, in
    order of coming; shape (items, requests) each, 0 where a request can have no such item.

    A stage has `MOST_ITEMS` of a request at most; further ones are served with the tokens of the first.
    """
    import numpy as np

    from ipa.sim import Routes, RunInput, TokenRows

    stages = {stage.name: place for place, stage in enumerate(pipeline.stages) if stage.tokens is not None}
    if not stages:
        return {}
    world = world_of(scenario, trace.duration_s, pipeline.sla_s)
    columns = token_columns_of(scenario, pipeline, trace)
    run_input = RunInput(models_of(scenario, pipeline), world, arrivals_s, scenario.seed, pipeline.graph, columns)
    rows, routes, count = TokenRows(run_input), Routes.of(run_input), len(arrivals_s)
    variants = [[variant.name for variant in stage.variants] for stage in pipeline.stages]
    items = [np.ones(count, dtype=np.int64)] * len(variants) if routes is None else routes.most_items(variants)
    tokens = {}
    for name, place in stages.items():
        of_requests = np.clip(items[place], 1, MOST_ITEMS)
        rounds = int(of_requests.max(initial=1))
        is_there = np.arange(rounds)[:, None] < of_requests
        prompts, texts = (row[: rounds * count].reshape(rounds, count) * is_there for row in rows.of(place, rounds))
        tokens[name] = prompts, texts
    return tokens


def load_table(sent: Sent, checked: Checked | None = None) -> pd.DataFrame:
    """One row per request that was sent: request, arrival_s (scheduled), sent_s, outcome, end_s, latency_s, status,
    reason.

    `outcome` and `end_s` are as a client sees them: completed is status 200; dropped is 504, or 503 with a time to
    retry; failed is any other answer or a failed connection; unfinished is no answer by the end. Latency counts from
    the scheduled time. `reason` is why it was not completed, as told to its client. If samples were sent, the columns
    `answer` and `character_accuracy`, the share of its correct characters, are added.
    """
    import numpy as np
    import pandas as pd

    from ipa.live import UNKNOWN
    from ipa.sim import COMPLETED, OUTCOMES

    outcome = sent.outcome
    numbers = [] if checked is None else sent.request.tolist()
    answers = (
        {}
        if checked is None
        else {
            "answer": pd.array([checked.answers.get(number) for number in numbers], dtype="string"),
            "character_accuracy": np.array([checked.right.get(number, np.nan) for number in numbers], dtype=float),
        }
    )
    return pd.DataFrame(
        {
            "request": sent.request,
            "arrival_s": sent.scheduled_s,
            "sent_s": sent.sent_s,
            "outcome": pd.Categorical.from_codes(outcome, pd.Index(OUTCOMES)),
            "end_s": sent.end_s,
            "latency_s": np.where(outcome == COMPLETED, sent.end_s - sent.scheduled_s, np.nan),
            "status": np.where(sent.reason == UNKNOWN, UNKNOWN_STATUS, sent.status),
            "reason": pd.array(sent.reason, dtype="string"),
            **answers,
        }
    )


def loss(summary: Mapping[str, Any], load: pd.DataFrame) -> str:
    """The warning for a run that lost more than `MOST_LOST` of its requests, with the most frequent reasons in its
    table `load`; empty for any other."""
    ways = {way: summary[way] for way in ("dropped", "failed", "unfinished") if summary[way]}
    lost = sum(ways.values())
    if lost <= MOST_LOST * summary["requests"]:
        return ""
    counted = ", ".join(f"{count:,} {way}" for way, count in ways.items())
    first = f"{lost:,} of {summary['requests']:,} requests were lost ({counted})"
    reasons = load["reason"][load["reason"] != ""].value_counts()[:MOST_NAMED]
    named = "; ".join(f"{count:,} x {reason}" for reason, count in reasons.items())
    return f"{'' if summary['completed'] else 'Nothing was served: '}{first}{named and f'. Why: {named}'}"


def late_warning(lateness: Mapping[str, Any], requests: int) -> str:
    """The warning if more than 1 % of the requests were sent late, else empty."""
    share = lateness["sent_late"] / requests if requests else 0.0
    if share <= LATE_SHARE:
        return ""
    return (
        f"Warning: {100 * share:.2g} % of the requests were sent more than 10 ms late "
        f"(p99 {1000 * lateness['lateness_p99_s']:.0f} ms): this machine could not keep up with the load"
    )
