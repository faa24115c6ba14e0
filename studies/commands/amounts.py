"""Numbers as values of options: a wrong one is answered with what is allowed, in words."""

from __future__ import annotations

from math import isfinite
from typing import Any

import click


class Number(click.FloatRange):
    """A finite number within bounds; click's own range lets nan through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number: float = super().convert(value, param, ctx)
        except click.BadParameter:
            number = float("nan")
        if not isfinite(number):
            self.fail(f"{str(value)!r}; allowed: {_within('a finite number', self)}", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{str(value)!r}; allowed: {_within('a whole number', self)}", param, ctx)
        return number


SECONDS = Number(min=0.0, min_open=True)
SHARE = Number(min=0.0, max=1.0, min_open=True, max_open=True)


def _within(what: str, of: Number | Whole) -> str:
    """The bounds in words: `a whole number from 1`, `a finite number above 0 and below 1`."""
    low = None if of.min is None else f"{'above' if of.min_open else 'from'} {of.min:g}"
    high = None if of.max is None else f"{'and below' if of.max_open else 'to'} {of.max:g}"
    return " ".join(filter(None, (what, low, high)))
