"""Accuracies of pairs: what two variants, one at each stage of a pipeline of two, reach together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipa.profiles.errors import did_you_mean, listed

Pairs = Mapping[str, Mapping[str, float]]
"""Variant of the first stage -> variant of the second -> their accuracy together, from 0 to 1."""


def pairs_problem(pairs: Pairs, variants: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], str] | None:
    """Where accuracies of pairs are wrong for stages with these variants, and the text; None if all is well.

    Either none or every pair has one.
    """
    if not pairs:
        return None
    if len(variants) != 2:
        return (), f"should be given for a pipeline of two stages alone; this one has {len(variants)}"
    problem = _names_problem(pairs, variants[0])
    if problem:
        return problem
    for first, row in pairs.items():
        problem = _names_problem(row, variants[1])
        if problem:
            return (first, *problem[0]), problem[1]
        for second, accuracy in row.items():
            if not 0 <= accuracy <= 1:
                return (first, second), f"should be from 0 to 1; given {accuracy!r}"
    return None


def _names_problem(given: Mapping[str, object], variants: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    for name in given:
        if name not in variants:
            return (name,), f"no variant is called {name!r}{did_you_mean(name, variants)}; variants: {listed(variants)}"
    missing = [name for name in variants if name not in given]
    return ((), f"the variant {missing[0]!r} is missing; every pair needs its accuracy") if missing else None
