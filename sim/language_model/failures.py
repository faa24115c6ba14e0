"""Why requests of a pipeline with language models failed, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.sim.interface import BoolArray
from ipa.sim.model import IntArray
from ipa.sim.records import FAILED, Records

REMOVED = "its replica was removed"


def no_room(input_tokens: int, output_tokens: int, blocks: int, block_tokens: int) -> str:
    """Why a replica that has so many blocks takes no such request."""
    tokens = f"{input_tokens} input and {output_tokens} output tokens"
    return f"{tokens} have no room in its {blocks} blocks of {block_tokens} tokens"


def refused(records: Records, stage: int, requests: IntArray) -> BoolArray:
    """Which of these requests failed as they came to a replica that has too few blocks for them."""
    log, steps, replica = records.tokens[stage], records.steps[stage], records.replica[stage][requests]
    assert log is not None
    assert steps is not None
    tokens = log.input[requests] + log.output[requests] - 1
    is_too_long: BoolArray = tokens > steps.blocks[replica] * steps.block_tokens[replica]
    was_at_once: BoolArray = records.end_s[requests] == records.start_s[stage][requests]
    was_served: BoolArray = replica >= 0
    return was_served & is_too_long & was_at_once


def reasons(records: Records) -> npt.NDArray[Any]:
    """Why each request of a simulation failed, shape (requests,); empty for those that did not.

    In a graph, that of the item with which it failed.
    """
    failed = records.outcome == FAILED
    words = np.where(failed, REMOVED, "").astype(object)
    for stage in range(len(records.stages)):
        part, row = (records.items[stage], 0) if records.items else (records, stage)
        log, steps = (part.tokens[row], part.steps[row]) if part.tokens else (None, None)
        if log is None or steps is None:
            continue
        of_request = records.places(part)
        lost = np.flatnonzero((part.outcome == FAILED) & failed[of_request])
        lost = lost[records.dropped_stage[of_request[lost]] == stage]
        lost = lost[part.end_s[lost] == records.end_s[of_request[lost]]]
        for request in lost[refused(part, row, lost)].tolist():
            replica = part.replica[row][request]
            limits = int(steps.blocks[replica]), int(steps.block_tokens[replica])
            words[of_request[request]] = no_room(int(log.input[request]), int(log.output[request]), *limits)
    return words
