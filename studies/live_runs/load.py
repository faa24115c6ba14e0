"""`ipa live load`: which load goes where, and the figures of how it was answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import traces
from ipa.sim import stream
from ipa.studies.commands.options import build_scenario
from ipa.studies.errors import ScenarioError
from ipa.studies.live_runs.run import check_installed, load_table
from ipa.studies.loads import Load
from ipa.studies.results import check_writable, whole_file
from ipa.traces import Trace

if TYPE_CHECKING:
    from ipa.live.load import FloatArray, Sent

GATEWAY = "http://127.0.0.1:8080"
SUFFIXES = (".csv", ".parquet")

LATE_SHARE = 0.01
"""The share of requests sent late above which latencies are not what they say."""


@dataclass(frozen=True)
class Target:
    """A load, and the server and model it goes to; `body` None: zeros, as the model's metadata says."""

    url: str
    model: str
    body: dict[str, Any] | None
    trace: Trace
    arrivals_s: FloatArray


def target(
    what: str,
    url: str | None,
    model: str | None,
    body: Path | None,
    assignments: Sequence[str],
    duration_s: float | None,
    options: Mapping[str, object],
) -> Target:
    """What the command's argument and options describe. Raises ScenarioError, LiveError, TraceError or ProfileError."""
    check_installed()
    is_url = what.startswith(("http://", "https://"))
    if is_url and url is not None:
        raise ScenarioError(f"--url {url}: the argument is a URL already: {what}")
    if is_url and model is None:
        raise ScenarioError(f"{what}: say which model to ask with --model")
    # A load needs no pipeline; any stands for the one that a scenario must have.
    scenario = build_scenario("video" if is_url else what, assignments, **options)
    if model is None:
        from ipa import profiles

        model = profiles.load(scenario.pipeline).name
    trace = Load(scenario.trace, scenario.window, scenario.scale, scenario.scaling, scenario.seed).trace()
    if duration_s is not None and duration_s < trace.duration_s:
        trace = trace.window([(0.0, duration_s)])
    arrivals_s = traces.arrivals(trace, scenario.arrivals, stream(scenario.seed, "arrivals"))
    address = what if is_url else url or GATEWAY
    return Target(address, model, None if body is None else _read_body(body), trace, arrivals_s)


def _read_body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"--body {path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ScenarioError(f"--body {path}: is no JSON: {error}") from None
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise ScenarioError(f"--body {path}: should be a V2 inference request: an object with the key 'inputs'")
    body.pop("id", None)
    return dict(body)


def send(target: Target, patience_s: float) -> Sent:
    """Send it, in this process, which does nothing else. Raises LiveError where the server or model is not there."""
    from ipa.live.load import Job, run, zeros_for

    zeros = asyncio.run(zeros_for(target.url, target.model))
    body = zeros if target.body is None else target.body
    return run(Job(target.url, target.model, time.monotonic() + 0.2, patience_s, body), target.arrivals_s)


def figures(sent: Sent, target: Target) -> dict[str, Any]:
    """Counts and latencies as the clients saw them, and by how much the generator itself was late."""
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
    }


def check_file(path: Path) -> None:
    """Raise ScenarioError, before anything is sent, for a table that could not be written."""
    if path.suffix not in SUFFIXES:
        raise ScenarioError(f"--out {path}: should end in {' or '.join(SUFFIXES)}")
    if path.exists():
        raise ScenarioError(f"--out {path}: is there already; give a new file")
    if not path.absolute().parent.is_dir():
        raise ScenarioError(f"--out {path}: the folder {path.absolute().parent} does not exist")
    check_writable(path.absolute().parent, f"--out {path}")


def write(sent: Sent, path: Path) -> None:
    """Write the table of requests; the file appears complete."""
    table = load_table(sent)
    with whole_file(path) as part:
        if path.suffix == ".csv":
            table.to_csv(part, index=False)
        else:
            table.to_parquet(part, compression="zstd", index=False)


def warn(sent: Sent) -> None:
    """Say on stderr where the generator itself could not keep up."""
    text = late_warning(sent.lateness(), len(sent.request))
    if text:
        click.echo(text, err=True)


def late_warning(lateness: Mapping[str, Any], requests: int) -> str:
    """The warning where more than 1 % of the requests were sent late; empty where not."""
    share = lateness["sent_late"] / requests if requests else 0.0
    if share <= LATE_SHARE:
        return ""
    return (
        f"Warning: {100 * share:.2g} % of the requests were sent more than 10 ms late "
        f"(p99 {1000 * lateness['lateness_p99_s']:.0f} ms): this machine could not keep up with the load"
    )
