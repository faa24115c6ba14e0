"""`ipa live load`: which load goes where, and the figures of how it was answered."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa import profiles, traces
from ipa.sim import stream
from ipa.studies import results
from ipa.studies.errors import ScenarioError
from ipa.studies.live_runs.run import check_installed, load_table
from ipa.studies.loads import Load
from ipa.studies.scenario import Scenario
from ipa.traces import Trace

if TYPE_CHECKING:
    from ipa.live.load import FloatArray, Sent

GATEWAY = "http://127.0.0.1:8080"
SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Target:
    """A load, and the server and model it goes to; `body` None: zeros, as the model's metadata says."""

    url: str
    model: str
    body: dict[str, Any] | None
    trace: Trace
    arrivals_s: FloatArray


def pipeline_of(what: str) -> str:
    """The pipeline whose scenario describes the load; for a URL any will do, as its load needs none."""
    return "video" if _is_url(what) else what


def target(
    what: str,
    scenario: Scenario,
    *,
    url: str | None,
    model: str | None,
    body: Path | None,
    duration_s: float | None,
) -> Target:
    """Where the load of a scenario goes: to the URL `what`, or to the gateway of the pipeline or file `what`.

    Raises ScenarioError, LiveError, TraceError or ProfileError.
    """
    check_installed()
    if _is_url(what) and url is not None:
        raise ScenarioError(f"--url {url}: the argument is already a URL: {what}")
    if _is_url(what) and model is None:
        raise ScenarioError(f"{what}: name the model with --model")
    if model is None:
        model = profiles.load(scenario.pipeline).name
    trace = Load(scenario.trace, scenario.window, scenario.scale, scenario.scaling, scenario.seed).trace()
    if duration_s is not None and duration_s < trace.duration_s:
        trace = trace.window([(0.0, duration_s)])
    arrivals_s = traces.arrivals(trace, scenario.arrivals, stream(scenario.seed, "arrivals"))
    address = what if _is_url(what) else url or GATEWAY
    return Target(address, model, None if body is None else _read_body(body), trace, arrivals_s)


def _is_url(what: str) -> bool:
    return what.startswith(("http://", "https://"))


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
    results.check_writable(path.absolute().parent, f"--out {path}")


def write(sent: Sent, path: Path) -> None:
    """Write the table of requests; the file appears complete."""
    table = load_table(sent)
    with results.whole_file(path) as part:
        if path.suffix == ".csv":
            table.to_csv(part, index=False)
        else:
            table.to_parquet(part, compression="zstd", index=False)
