"""What a load generator has sent, when, and how it was answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ipa.sim import FloatArray, IntArray

UNANSWERED, UNREACHABLE = 0, -1
"""In place of an HTTP status: no answer by the end, and a connection that failed."""

UNKNOWN = "unknown"
"""The reason of requests whose end a killed run did not record."""

COMPLETED_STATUS, EXPIRED_STATUS, UNAVAILABLE_STATUS = 200, 504, 503

LATE_S = 0.01
"""A request sent later than this is late: the generator, or its machine, could not keep up."""


class Sent(NamedTuple):
    """What became of the requests that were sent, in order; arrays of shape (sent,), seconds on the schedule's clock.

    `end_s` is when the answer arrived or the connection failed, NaN if neither; `status` the HTTP status,
    `UNANSWERED` or `UNREACHABLE`. `may_retry` (bool): the answer said when to ask again (Retry-After). `reason` (str):
    why it was not completed, as its client was told; empty if it was.
    """

    request: IntArray
    scheduled_s: FloatArray
    sent_s: FloatArray
    end_s: FloatArray
    status: IntArray
    may_retry: npt.NDArray[np.bool_]
    reason: npt.NDArray[np.object_]

    @property
    def is_dropped(self) -> npt.NDArray[np.bool_]:
        """Whether each was dropped: expired, or refused for now because no replica could serve it."""
        is_refused: npt.NDArray[np.bool_] = (self.status == UNAVAILABLE_STATUS) & self.may_retry
        return is_refused | np.equal(self.status, EXPIRED_STATUS)

    @property
    def outcome(self) -> IntArray:
        """The outcome of each as its client saw it, as a code of `ipa.sim.OUTCOMES`.

        Completed is status 200, dropped 504 or a 503 that says when to ask again, failed any other answer or a failed
        connection, unfinished no answer.
        """
        from ipa.sim import COMPLETED, DROPPED, FAILED, UNFINISHED

        outcome = np.full(len(self.request), FAILED, dtype=np.int64)
        outcome[self.status == COMPLETED_STATUS] = COMPLETED
        outcome[self.is_dropped] = DROPPED
        outcome[self.status == UNANSWERED] = UNFINISHED
        return outcome

    def only(self, chosen: npt.NDArray[np.bool_]) -> Sent:
        return Sent._make(column[chosen] for column in self)

    @property
    def lateness_s(self) -> FloatArray:
        return self.sent_s - self.scheduled_s

    def lateness(self) -> dict[str, float | int]:
        """The lateness of sending: p50, p99 and greatest [s], and how many requests were late by more than 10 ms."""
        late_s = self.lateness_s[np.isfinite(self.sent_s)]  # unknown for requests of a killed run
        if not len(late_s):
            return {"lateness_p50_s": 0.0, "lateness_p99_s": 0.0, "lateness_max_s": 0.0, "sent_late": 0}
        p50_s, p99_s = np.quantile(late_s, (0.5, 0.99)).tolist()
        return {
            "lateness_p50_s": p50_s,
            "lateness_p99_s": p99_s,
            "lateness_max_s": float(late_s.max()),
            "sent_late": int(np.count_nonzero(late_s > LATE_S)),
        }

    @classmethod
    def read(cls, path: Path) -> Sent:
        with np.load(path) as stored:
            columns = {name: stored[name] for name in cls._fields}
            columns["reason"] = stored["reasons"].astype(object)[columns["reason"]]
            return cls(**columns)

    def write(self, path: Path) -> None:
        """Write it to an .npz file, which appears complete."""
        part = path.with_name(f".{path.name}.part.npz")
        reasons, numbers = np.unique(self.reason, return_inverse=True)
        np.savez(part, **{**self._asdict(), "reason": numbers, "reasons": reasons.astype(str)})
        part.replace(path)
