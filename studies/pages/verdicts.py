"""The state of every policy in words, for the top of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from ipa.studies.formatting import number
from ipa.studies.many import Group
from ipa.studies.pages.colours import BAD, DOUBTFUL, GOOD, in_css
from ipa.studies.series import edges_of
from ipa.studies.state import STATES, Standing, State, standing_counted, standing_of

if TYPE_CHECKING:
    from ipa.studies.runs import RunData

_COLOURS: dict[State, str] = {"stable": GOOD, "backlogged": DOUBTFUL, "overloaded": BAD}


def verdicts(groups: Sequence[Group]) -> str:
    """A sentence for each policy, as HTML."""
    items = "".join(f"<li>{sentence(group)}</li>\n" for group in groups)
    return f"<ul>\n{items}</ul>\n"


def sentence(group: Group) -> str:
    """The state of a policy, that of its worst seed, and what it rests on (HTML)."""
    found = dict(zip(group.seeds, map(_standing, group.runs), strict=True))
    worst = max(found, key=lambda seed: _badness(found[seed]))
    state = found[worst].state
    said = f'<b style="color:{in_css(_COLOURS[state])}">{state}</b>'
    where = _where(found, state)
    lost = "".join(f'<b style="color:{in_css(BAD)}">{escape(text)}.</b> ' for text in _lost(group))
    rest = f"{_kept(group)}{in_words(found[worst], worst if where else None)}"
    return f"<b>{group.label}</b>: {lost}{rest}" if lost else f"<b>{group.label}</b> is {said}{where}. {rest}"


def _lost(group: Group) -> list[str]:
    """What live runs that lost too many requests say of that."""
    return [run.loss for run in group.runs if run.loss]


def in_words(found: Standing, seed: int | None = None) -> str:
    """What the state of a run rests on; `seed`: the one that it is of, where that has to be said."""
    of_time = "" if seed is None else f" with seed {seed}"
    if found.state == "overloaded":
        share = _percent(found.overloaded_share)
        return (
            f"During {share} of the time{of_time} more requests arrived than were completed, while others were in the "
            "system for longer than the SLA."
        )
    if found.backlogged_share == 0.0:
        return "No request was in the system for longer than the SLA."
    at_end = f"; {found.late_at_end:,} of them at the end" if found.late_at_end else ""
    share = _percent(found.backlogged_share)
    return f"Requests were in the system for longer than the SLA during {share} of the time{of_time}{at_end}."


def _standing(run: RunData) -> Standing:
    edges_s = edges_of(run.tables, float(run.summary["duration_s"]))
    if "intervals" in run.tables:
        return standing_counted(run.tables["intervals"], run.tables["queues"], edges_s)
    return standing_of(run.tables["requests"], float(run.summary["sla_s"]), edges_s)


def _badness(found: Standing) -> tuple[int, float, float]:
    return STATES.index(found.state), found.overloaded_share, found.backlogged_share


def _where(found: Mapping[int, Standing], state: State) -> str:
    """With which seeds a policy is in the state that is said of it; empty where with all."""
    seeds = [seed for seed, each in found.items() if each.state == state]
    return "" if len(seeds) == len(found) else f" with {len(seeds)} of {len(found)} seeds"


def _kept(group: Group) -> str:
    violations = group.estimate("sla_violation_rate")
    if violations is None or not any(run.summary["requests"] for run in group.runs):
        return "No request arrived. "
    return f"{_percent(1.0 - violations.mean)} of the requests were answered within the SLA. "


def _percent(share: float) -> str:
    return f"{number(100.0 * share, 1)} %"
