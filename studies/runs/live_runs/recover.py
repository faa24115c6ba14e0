"""The results of a run whose controller was killed, from the records that it kept on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipa.studies import results
from ipa.studies.runs.live_runs.run import LiveRun, facts_of, live_run_of
from ipa.studies.runs.run import prepare
from ipa.studies.scenario import Scenario, ScenarioError, arrivals_of

if TYPE_CHECKING:
    from ipa.live import Sent
    from ipa.sim import FloatArray

KILLED = "the controller was killed"

LOST_FACTS = (
    "lateness_p50_s", "lateness_p99_s", "lateness_max_s", "sent_late", "records_lost", "foreign_requests", "refused",
)  # fmt: skip
"""Facts that only the load generator or the gateway knew."""

STATUS = {"completed": 200, "dropped": 504, "failed": 502, "unfinished": 504}
"""The gateway's HTTP status by the outcome of a request."""


def kept_folder(out: Path) -> Path:
    """Where a run with results folder `out` keeps its records until it has finished: a hidden folder beside it."""
    out = out if out.name else out.absolute()
    return out.with_name(f".{out.name}.running")


def check_none_kept(out: Path) -> None:
    """Raise ScenarioError if a run, killed or still going on, keeps records there, which would be mixed."""
    if kept_folder(out).exists():
        raise ScenarioError(
            f"--out {out}: a run that is going on, or was killed, keeps its results so far in {kept_folder(out)}"
        )


def recovered(folder: Path, out: Path) -> LiveRun:
    """A killed run, from what it has kept in a folder. Raises LiveError, naming its results folder, if it kept nothing
    or is still going on."""
    from ipa.live import (
        UNKNOWN,
        Collector,
        Finished,
        ItemCollector,
        LiveError,
        broken_laws,
        from_plain,
        language_models,
        read_kept,
    )

    try:
        kept = read_kept(folder)
    except LiveError as error:
        raise LiveError(f"{out}: {error}") from None
    scenario = Scenario.model_validate(kept.description["scenario"])
    read = results.KeptInputs.of(kept.description, folder)
    prepared = replace(prepare(read.scenario(scenario)), scenario=scenario, inputs=read.inputs())
    prepared = replace(prepared, trace=prepared.trace.window([(0.0, kept.description["duration_s"])]))
    duration_s = min(max(kept.now_s, 1.0), prepared.trace.duration_s)
    arrivals_s = arrivals_of(scenario, prepared.trace)
    collects = Collector if prepared.pipeline.graph is None else ItemCollector
    language = language_models(prepared.pipeline)
    collector = collects(None, tuple(kept.replicas), language=language)  # type: ignore[arg-type]
    collector.take(kept.rows)
    sent = _sent(kept.rows, arrivals_s)
    records = collector.records(sent, kept.replicas, kept.configured, duration_s, kept.now_s)
    records = replace(records, room_lack=kept.room_lack)
    finished = Finished(
        records=records,
        sent=sent,
        ended=KILLED,
        lost=0,
        foreign=collector.foreign,
        cut_off=int(np.searchsorted(arrivals_s, kept.now_s)) - len(sent.request),
        broken_laws=tuple(broken_laws(records, is_whole=False, retried=kept.replicas)),
        models=kept.models,
    )
    initial = from_plain(kept.description["initial"])
    facts = {**facts_of(kept.description["live"], kept.held_steps, finished), **dict.fromkeys(LOST_FACTS, UNKNOWN)}
    return live_run_of(prepared, initial, kept.entries, finished, facts, kept.now_s)


def _sent(rows: list[list[float]], arrivals_s: FloatArray) -> Sent:
    """The requests that the load generator, killed too, is known to have sent: those with a record.

    The times of sending are unknown; each answer is assumed to come when the gateway finished the request.
    """
    from ipa.live import UNKNOWN, Sent
    from ipa.sim import OUTCOMES

    ended = {int(row[0]): row for row in rows if row[0] < len(arrivals_s)}
    request = np.array(sorted(ended), dtype=np.int64)
    outcome = [OUTCOMES[int(ended[number][1])] for number in request.tolist()]
    return Sent(
        request=request,
        scheduled_s=arrivals_s[request],
        sent_s=np.full(len(request), np.nan),
        end_s=np.array([ended[number][4] for number in request.tolist()], dtype=np.float64),
        status=np.array([STATUS[name] for name in outcome], dtype=np.int64),
        may_retry=np.zeros(len(request), dtype=bool),
        reason=np.array(["" if name == "completed" else UNKNOWN for name in outcome], dtype=object),
    )
