"""Which random scenarios every test run goes through, and which only `make test-all`."""

from __future__ import annotations

from typing import Any

import pytest


def blocks(count: int) -> list[Any]:
    """Numbers of blocks of scenarios, or seeds, to parametrize: a twentieth always, the others in `make test-all`."""
    always = -(-count // 20)
    return [*range(always), *(pytest.param(block, marks=pytest.mark.long) for block in range(always, count))]
