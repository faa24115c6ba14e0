"""What must be true of the records in a gateway's books."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATUSES = {"completed": (200,), "dropped": (504, 503), "unfinished": (504,), "failed": (502, 400)}
"""What a client may be answered, by the outcome of its request; 503 also for what never came into the books."""


def is_lawful(record: Mapping[str, Any]) -> bool:
    """Law L2: arrival, enqueue, start, finish, the next enqueue, the end."""
    times = [record["arrival_s"]]
    for visit in record["stages"]:
        times += [visit[key] for key in ("enqueue_s", "start_s", "finish_s") if visit[key] is not None]
    return times == sorted(times) and times[-1] <= record["end_s"]
