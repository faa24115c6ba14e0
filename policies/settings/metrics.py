"""Which metric of ours the name of another's metric, or its query, stands for."""

from __future__ import annotations

import re

from ipa.policies.interface import PolicyError

RPS = "http_requests_per_second"
CONCURRENCY = "http_requests_in_flight"
"""The names that are written: a guess, as they depend on what a cluster measures."""

_CONCURRENCY = re.compile(r"concurren|in_?flight|ongoing|queue|waiting|pending|active_requests", re.IGNORECASE)
_RPS = re.compile(r"per_second|rps|qps|\brate\(|irate\(|requests_rate|request_rate", re.IGNORECASE)


def metric_of(text: str, path: str) -> str:
    """`rps` or `concurrency`. PolicyError: the text says neither or both."""
    kinds = {"concurrency": bool(_CONCURRENCY.search(text)), "rps": bool(_RPS.search(text))}
    named = [kind for kind, is_named in kinds.items() if is_named]
    if len(named) != 1:
        raise PolicyError(
            f"{path}: {text!r}: is it requests per second or requests in progress? Allowed: a name or query that says "
            f"so, such as {RPS} or {CONCURRENCY}"
        )
    return named[0]
