"""`ipa live load`: the load, its target, and the figures of the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa import profiles
from ipa.studies.runs.live_runs.samples import Checked, read_body
from ipa.studies.runs.results import check_place, whole_file
from ipa.studies.scenario import (
    Scenario,
    ScenarioError,
    arrivals_of,
    load_of,
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

GATEWAY = "http://127.0.0.1:8080"
SUFFIXES = (".csv", ".parquet")

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


@dataclass(frozen=True)
class LoadTarget:
    """A load, and the server and model that it goes to; `body` None: zeros, shaped by the model's metadata, or texts
    with these `tokens` (see `drawn_tokens`).

    `token_file` is a file with the token that the server requires of clients; empty: none.
    """

    url: str
    model: str
    body: dict[str, Any] | None
    trace: Trace
    arrivals_s: FloatArray
    token_file: str = ""
    tokens: Mapping[str, tuple[IntArray, IntArray]] = field(default_factory=dict)


def is_url(what: str) -> bool:
    """Whether the argument of `ipa live load` is a server's URL rather than a pipeline or a file."""
    return what.startswith(("http://", "https://"))


def check_address(what: str, url: str | None, model: str | None) -> None:
    """Raise ScenarioError if the argument is a URL and --url is given too, or --model is missing."""
    if is_url(what) and url is not None:
        raise ScenarioError(f"--url {url}: the argument is already a URL: {what}")
    if is_url(what) and model is None:
        raise ScenarioError(f"{what}: name the model with --model")


def load_target(
    scenario: Scenario,
    what: str,
    url: str | None = None,
    model: str | None = None,
    body: Path | None = None,
    duration_s: float | None = None,
    token_file: Path | None = None,
) -> LoadTarget:
    """The load of a scenario, at most `duration_s` of it, for a server.

    `what`: its URL, or the pipeline, whose gateway is at `url` (None: on this machine). `model` None: the pipeline's
    name. `body`: a file with the request to send. Raises ScenarioError, TraceError or ProfileError for input that
    cannot be used.
    """
    pipeline = None if is_url(what) else profiles.load(scenario.pipeline)
    trace = load_of(scenario).trace()
    if duration_s is not None and duration_s < trace.duration_s:
        trace = trace.window([(0.0, duration_s)])
    content = None if body is None else read_body("--body", body)
    arrivals_s = arrivals_of(scenario, trace)
    name, tokens = model or scenario.pipeline, {}
    if pipeline is not None:
        name, tokens = model or pipeline.name, drawn_tokens(scenario, pipeline, trace, arrivals_s)
    address = what if pipeline is None else url or GATEWAY
    return LoadTarget(address, name, content, trace, arrivals_s, str(token_file or ""), tokens)


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


def send_load(target: LoadTarget, patience_s: float) -> Sent:
    """Send the load from this process, which does nothing else. Raises LiveError if the server has no such model,
    RunError if no server answers."""
    from ipa.live import LoadJob, send_job, zeros_for

    zeros = asyncio.run(zeros_for(target.url, target.model, target.token_file))
    body = zeros if target.body is None and not target.tokens else target.body
    at_s = time.monotonic() + 0.2
    job = LoadJob(
        *(target.url, target.model, at_s, patience_s, body),
        token_file=target.token_file,
        language_stages=tuple(target.tokens),
    )
    return send_job(job, target.arrivals_s, tokens=target.tokens)


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


def load_figures(sent: Sent, target: LoadTarget) -> dict[str, Any]:
    """Counts and latencies as the clients saw them, and how late the load generator sent."""
    import numpy as np

    table = load_table(sent)
    counts = table["outcome"].value_counts()
    latency_s = table["latency_s"].dropna().to_numpy()
    quantiles = np.quantile(latency_s, (0.5, 0.95, 0.99)).tolist() if len(latency_s) else (None,) * 3
    return {
        "url": target.url,
        "model": target.model,
        "trace": target.trace.name,
        "duration_s": target.trace.duration_s,
        "requests": len(table),
        **{name: int(counts[name]) for name in ("completed", "dropped", "failed", "unfinished")},
        "latency_mean_s": float(latency_s.mean()) if len(latency_s) else None,
        **dict(zip(("latency_p50_s", "latency_p95_s", "latency_p99_s"), quantiles, strict=True)),
        **sent.lateness(),
        "loss": loss({"requests": len(table), **{name: int(counts[name]) for name in counts.index}}, table),
    }


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


def check_load_file(path: Path) -> None:
    """Raise ScenarioError, before anything is sent, if the table could not be written."""
    if path.suffix not in SUFFIXES:
        raise ScenarioError(f"--out {path}: should end in {' or '.join(SUFFIXES)}")
    if path.exists():
        raise ScenarioError(f"--out {path}: already exists; give a new file")
    check_place(path, f"--out {path}")


def write_load_table(sent: Sent, path: Path) -> None:
    """Write the table of requests; the file appears complete."""
    table = load_table(sent)
    with whole_file(path) as part:
        if path.suffix == ".csv":
            table.to_csv(part, index=False)
        else:
            table.to_parquet(part, compression="zstd", index=False)


def late_warning(lateness: Mapping[str, Any], requests: int) -> str:
    """The warning if more than 1 % of the requests were sent late, else empty."""
    share = lateness["sent_late"] / requests if requests else 0.0
    if share <= LATE_SHARE:
        return ""
    return (
        f"Warning: {100 * share:.2g} % of the requests were sent more than 10 ms late "
        f"(p99 {1000 * lateness['lateness_p99_s']:.0f} ms): this machine could not keep up with the load"
    )
