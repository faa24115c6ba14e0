"""The size of a run, estimated before it begins: nobody should wait for one that this machine cannot finish."""

from __future__ import annotations

import os

from ipa.studies.scenario import Scenario, ScenarioError
from ipa.traces import Trace

MOST_DECISIONS = 10_000_000
"""In one run: at a fraction of a millisecond each, an hour or more."""

ARRIVAL_BYTES = 10
RECORD_BYTES = 130
"""Of a request at a stage, where records of all requests are kept."""
DECISION_BYTES = 3_000
SAMPLE_BYTES = 100 * 2**20
"""Where records of a sample are kept: of the requests under way, and the counts in intervals."""


def check_size(scenario: Scenario, trace: Trace, stages: int, memory_bytes: float | None = None) -> None:
    """Raise ScenarioError for a run of more decisions than `MOST_DECISIONS`, or that needs more memory than there is.

    `memory_bytes`: that of this machine by default. The estimate is that of docs/scenarios.md, Long loads.
    """
    decisions = trace.duration_s / scenario.interval_s
    if decisions > MOST_DECISIONS:
        raise ScenarioError(
            f"interval_s {scenario.interval_s:g}: makes {decisions:,.0f} decisions in {trace.duration_s:,g} s; "
            f"allowed: at most {MOST_DECISIONS:,} in a run; use a larger interval_s, or a part of the load (--window)"
        )
    available = _memory_bytes() if memory_bytes is None else memory_bytes
    needed = _needed_bytes(scenario.records, trace.requests, decisions, stages)
    if needed <= available:
        return
    fits = [
        f"records: {records} (--records {records}), "
        for records in ("sample", "none")
        if _needed_bytes(records, trace.requests, decisions, stages) <= available
    ]
    way = fits[0] if fits else ""
    raise ScenarioError(
        f"trace {trace.name}: {trace.requests:,} requests and {decisions:,.0f} decisions need about "
        f"{_gigabytes(needed)} of memory with records: {scenario.records}, and this machine has "
        f"{_gigabytes(available)}; use {way}a part of the load (--window) or less of it (--scale)"
    )


def _needed_bytes(records: str, requests: int, decisions: float, stages: int) -> float:
    of_requests = ARRIVAL_BYTES + (RECORD_BYTES * stages if records == "all" else 0)
    of_sample = SAMPLE_BYTES if records == "sample" else 0
    return requests * of_requests + of_sample + (0.0 if records == "none" else decisions * DECISION_BYTES)


def _memory_bytes() -> float:
    """The memory of this machine; infinite where it is not known."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB"
