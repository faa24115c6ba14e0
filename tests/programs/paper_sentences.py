"""What wins where, in five sentences that follow from the tables of FOLDER/tables.md, whatever the systems are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from textwrap import fill

from tests.programs.paper_tables import DEFAULTS, PUBLISHED, figure, rows

HEADING = "In five sentences"
KEPT_PERCENT = 0.1
"""At most so many violations count as keeping the SLA."""

LOST_PERCENT = 1.0
"""Systems with more violations are named."""

WIDTH = 120


def section(details: Mapping[str, str]) -> str:
    """The section's text, as the page has it."""
    items = [
        fill(each, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for each in sentences(details)
    ]
    return "\n" + "\n".join(items) + "\n\n"


def sentences(details: Mapping[str, str]) -> list[str]:
    """The five."""
    cheapest, most_accurate = _cheapest(details), _most_accurate(details)
    times = [most_accurate[name][1] / cheapest[name][1] for name in cheapest]
    worst = max(violations for *_, violations in most_accurate.values())
    return [
        (
            f"With own defaults, {_nearest(details, DEFAULTS)}; a system that violates the SLA more often than the "
            f"oracle, by more than {KEPT_PERCENT:g} points, does not count, and ties count for each."
        ),
        (
            "In the published settings, which begin with one replica a stage and let batches wait at their replicas, "
            f"{_nearest(details, PUBLISHED)}."
        ),
        (
            f"With own defaults, the cheapest that violates the SLA for at most {KEPT_PERCENT:g} % of the requests is "
            f"{_by_pipeline({name: system for name, (system, *_) in cheapest.items()})}."
        ),
        (
            f"The most accurate is {_by_pipeline({name: system for name, (system, *_) in most_accurate.items()})}, for "
            f"{min(times):.1f} to {max(times):.1f} times the cores of the cheapest, with up to {worst:.1f} % "
            "violations."
        ),
        f"With own defaults, {_losing(details)}.",
    ]


def _nearest(details: Mapping[str, str], setting: str) -> str:
    """Who comes nearest to the oracle in how many cells, those that come equally near included."""
    text = details[f"What bounds them, {setting}"]
    names = [cell.strip() for cell in re.findall(r"^\|.*", text, re.MULTILINE)[0].split("|")[7:-1]]
    wins: dict[str, int] = {}
    cells = rows(text)
    for row in cells:
        comparable = {
            name: figure(cell.rstrip("†")) for name, cell in zip(names, row[6:], strict=True) if "*" not in cell
        }
        for name, distance in comparable.items():
            wins[name] = wins.get(name, 0) + (distance == max(comparable.values()))
    ordered = sorted((name for name in wins if wins[name]), key=lambda name: -wins[name])
    first, *others = ordered
    rest = [f"{name} in {wins[name]}" for name in others]
    return f"{first} comes nearest to the oracle's objective in {wins[first]} of the {len(cells)} cells" + (
        f", {_listed(rest)}" if rest else ""
    )


def _of(details: Mapping[str, str], setting: str) -> dict[str, list[tuple[str, float, float, float]]]:
    """Pipeline -> its systems but the oracle: name, cores, PAS, violations [%]."""
    found: dict[str, list[tuple[str, float, float, float]]] = {}
    for pipeline, system, cost, pas, violations, *_ in rows(details[f"Every system, {setting}"]):
        if system != "oracle (bound)":
            found.setdefault(pipeline, []).append((system, figure(cost), figure(pas), figure(violations)))
    return found


def _cheapest(details: Mapping[str, str]) -> dict[str, tuple[str, float, float, float]]:
    return {
        pipeline: min((each for each in systems if each[3] <= KEPT_PERCENT), key=lambda each: each[1])
        for pipeline, systems in _of(details, DEFAULTS).items()
    }


def _most_accurate(details: Mapping[str, str]) -> dict[str, tuple[str, float, float, float]]:
    return {pipeline: max(systems, key=lambda each: each[2]) for pipeline, systems in _of(details, DEFAULTS).items()}


def _losing(details: Mapping[str, str]) -> str:
    """Who violates the SLA for more than a few requests of a pipeline."""
    most: dict[str, float] = {}
    for systems in _of(details, DEFAULTS).values():
        for system, _, _, violations in systems:
            most[system] = max(most.get(system, 0.0), violations)
    losing = [f"{system} for up to {most[system]:.1f} %" for system in most if most[system] > LOST_PERCENT]
    if not losing:
        return f"no system violates the SLA for more than {LOST_PERCENT:g} % of a pipeline's requests"
    first, *others = losing
    first = first.replace(" for ", " violates the SLA for ", 1) + " of a pipeline's requests"
    return f"{_listed([first, *others])}, and all others for at most {LOST_PERCENT:g} %"


def _by_pipeline(chosen: Mapping[str, str]) -> str:
    """'InferLine on nlp and FA2-low on video'."""
    systems = dict.fromkeys(chosen.values())
    if len(systems) == 1:
        return f"{next(iter(systems))} on every pipeline"
    return _listed(f"{system} on {_listed(name for name in chosen if chosen[name] == system)}" for system in systems)


def _listed(items: Iterable[str]) -> str:
    """'a, b and c'."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last
