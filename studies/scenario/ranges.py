"""The types of numbers in a scenario, by their allowed range."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

LARGEST = 1e12
"""The largest number that the optimiser computes with exactly, as for a policy's parameters."""

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0.0, le=LARGEST, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Counting = Annotated[int, Field(strict=True, ge=1)]
