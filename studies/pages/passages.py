"""The latency of requests by stage and kind of time, and the rollouts meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ipa.studies.many import PolicyRuns
from ipa.studies.runs import ITEMS

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("hop", "batch", "queue", "service")
"""Network delay to the stage; wait for the last request of the batch; wait for a replica; service."""

MOMENTS = ("left_s", "enqueue_s", "filled_s", "start_s", "finish_s")
"""The moments at which the kinds of time at a stage begin and end, in order."""

BACK = "(back)"
"""The last row of a request: its way back from the last stage, if that takes time. No stage can have this name."""


@dataclass(frozen=True)
class Passed:
    """How the requests of a policy's first seed passed through the stages."""

    group: PolicyRuns

    @cached_property
    def rows(self) -> pd.DataFrame:
        """As `passages`; in a graph, along the critical path."""
        tables = self.group.tables
        if ITEMS not in tables:
            return passages(tables["requests"], tables["stages"])
        items = tables[ITEMS]
        return passages(tables["requests"], critical(tables["requests"], items), items)

    @property
    def mean_s(self) -> dict[tuple[str, str], float]:
        """As `mean_spent_s`."""
        tables = self.group.tables
        return counted_spent_s(tables["spent"]) if "spent" in tables else mean_spent_s(tables["requests"], self.rows)

    def slowest(self, completed: int, dropped: int) -> pd.DataFrame:
        """The completed requests that took longest, then the dropped or failed ones that took longest."""
        requests = self.group.tables["requests"]
        requests = requests[requests["request"].isin(self.rows["request"])]
        requests = requests.assign(taken_s=requests["end_s"] - requests["arrival_s"])
        requests = requests.sort_values(["taken_s", "request"], ascending=[False, True])
        answered = requests["outcome"] == "completed"
        rank = requests.groupby(answered).cumcount()
        shown = requests[rank < answered.map({True: completed, False: dropped})]
        return shown.sort_values("outcome", key=lambda outcome: outcome != "completed", kind="stable")


def critical(requests: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """The critical path of each ended request: its items from first to last. It is traced back from the item with which
    it ended, to the one that ended last before this came, and so on. Columns as of `items`."""
    import pandas as pd

    filled = {moment: items[moment].fillna(items["dropped_s"]) for moment in ("start_s", "finish_s")}
    ended = items.assign(**filled, left_s=filled["finish_s"])
    ended = ended[ended["left_s"].notna()].sort_values("left_s", kind="stable")
    ended["stage_number"] = ended["stage"].cat.codes
    moments = requests.loc[np.isfinite(requests["end_s"]), ["request", "end_s"]].rename(columns={"end_s": "until_s"})
    moments["before"] = len(items["stage"].cat.categories)
    steps_back = []
    while len(moments):
        pairs = pd.merge(moments, ended, on="request")
        pairs = pairs[(pairs["left_s"] <= pairs["until_s"]) & (pairs["stage_number"] < pairs["before"])]
        last = pairs.sort_values(["request", "left_s"], kind="stable").drop_duplicates("request", keep="last")
        steps_back.append(last)
        moments = last[["request", "enqueue_s", "stage_number"]].set_axis(["request", "until_s", "before"], axis=1)
    rows = pd.concat(steps_back[::-1]) if steps_back else ended
    return rows[list(items.columns)].sort_values("request", kind="stable", ignore_index=True)


def passages(requests: pd.DataFrame, stages: pd.DataFrame, everything: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row for each ended request and stage that it reached, in order: request, stage, and `MOMENTS` (seconds).

    Each row begins where the one before ended, the first with the arrival, and the last ends with the request, so that
    the kinds of time add up to its latency. A dropped request counts as queued until its end. If it is unknown when the
    last request of a batch came, the wait counts as queue. `everything`: the table with all requests of each batch, if
    `stages` has only some.
    """
    import pandas as pd

    ended = requests.loc[np.isfinite(requests["end_s"]), ["request", "arrival_s", "end_s"]]
    rows = stages.merge(ended, on="request").sort_values("request", kind="stable", ignore_index=True)
    known_s = (
        rows["filled_s"].fillna(rows["enqueue_s"])
        if "filled_s" in rows
        else _filled_s(rows, stages if everything is None else everything)
    )
    rows["filled_s"] = known_s
    for moment in ("start_s", "finish_s"):
        rows[moment] = rows[moment].fillna(rows["end_s"])
    left_s = rows.groupby("request", sort=False)["finish_s"].shift()
    rows["left_s"] = left_s.fillna(rows["arrival_s"])
    rows["stage"] = rows["stage"].astype(str)
    last = rows[~rows["request"].duplicated(keep="last")]
    back = last.loc[last["finish_s"] < last["end_s"], ["request", "finish_s", "end_s"]]
    at_end = dict.fromkeys(MOMENTS[1:], back["end_s"])
    back = back.assign(stage=BACK, left_s=back["finish_s"], **at_end)
    columns = ["request", "stage", *MOMENTS]
    all_rows = pd.concat([rows[columns], back[columns]]) if len(back) else rows[columns]
    return all_rows.sort_values("request", kind="stable", ignore_index=True)


def _filled_s(rows: pd.DataFrame, stages: pd.DataFrame) -> pd.Series[float]:
    """When the last request of each row's batch was enqueued; if unknown, when the row's own was."""
    batches = stages[stages["batch"] >= 0].groupby(["stage", "batch"], observed=True)["enqueue_s"].agg(["max", "size"])
    batches = batches.rename(columns={"max": "last_s", "size": "known"}).reset_index()
    joined = rows[["stage", "batch", "batch_size", "enqueue_s", "start_s"]].merge(
        batches, on=["stage", "batch"], how="left"
    )
    is_whole = joined["known"] == joined["batch_size"]
    return joined["enqueue_s"].where(~is_whole, joined[["last_s", "start_s"]].min(axis=1))


def spent_s(rows: pd.DataFrame) -> pd.DataFrame:
    """The seconds of each passage by kind; columns request, stage, and `KINDS`."""
    moments = rows[list(MOMENTS)].to_numpy(dtype=np.float64)
    lasting_s = np.diff(moments, axis=1)
    return rows[["request", "stage"]].assign(**{kind: lasting_s[:, place] for place, kind in enumerate(KINDS)})


def mean_spent_s(requests: pd.DataFrame, rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    """(stage, kind) -> its part of the mean latency of completed requests [s]; empty if none completed."""
    completed = requests.loc[requests["outcome"] == "completed", "request"]
    with_rows = completed[completed.isin(rows["request"])]
    if with_rows.empty:
        return {}
    sums = spent_s(rows[rows["request"].isin(with_rows)]).groupby("stage", sort=False)[list(KINDS)].sum() / len(
        with_rows
    )
    return {(str(stage), kind): float(sums.loc[stage, kind]) for stage in sums.index for kind in KINDS}


def counted_spent_s(spent: pd.DataFrame) -> dict[tuple[str, str], float]:
    """As `mean_spent_s`, from the table `spent` of a run that records only a sample."""
    return {
        (str(row["stage"]), kind): float(row[f"{kind}_s"])
        for row in spent.dropna().to_dict("records")
        for kind in KINDS
    }


def beside(replicas: pd.DataFrame, stage: str, from_s: float, to_s: float) -> str:
    """The replicas of a stage that were starting or being removed between two times, in words; empty if none."""
    here = replicas[replicas["stage"] == stage]
    created_s, ready_s, removed_s, gone_s = (
        here[name].to_numpy(dtype=np.float64) for name in ("created_s", "ready_s", "removed_s", "gone_s")
    )
    starting = (created_s < to_s) & (np.nan_to_num(ready_s, nan=np.inf) > from_s)
    leaving = (removed_s < to_s) & (np.nan_to_num(gone_s, nan=np.inf) > from_s)
    variants = here["variant"].to_numpy(dtype=str)
    return ", ".join(
        f"{count} {variant} {doing}"
        for doing, chosen in (("starting", starting), ("leaving", leaving))
        for variant, count in zip(*np.unique(variants[chosen], return_counts=True), strict=True)
    )
