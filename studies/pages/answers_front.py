"""The Pareto front of two or three outcomes: settings on it, possibly on it, and dominated."""

from __future__ import annotations

import numpy as np

from ipa.sim import FloatArray, IntArray
from ipa.studies.many.answers import RESAMPLES, ComparedSettings, Front, Outcome
from ipa.studies.pages.colours import ARRIVALS, BACKGROUND, PALETTE, SHADES, faded
from ipa.studies.pages.plots import Plot, Spec, axis, error_bars, layout, line, points, safe

MOST_BETTERED, MOST_BARS = 600, 40
"""The most dominated settings drawn, and the most settings on the front drawn with intervals."""

MAYBE = 0.05
"""A setting may be on the front if it is in this share of the draws of seeds."""


def front(settings: ComparedSettings, the_front: Front, name: str = "front") -> Plot:
    """The front: the first two outcomes are the axes, a third is the colour."""
    x, y, *third = the_front.outcomes
    on = the_front.places[np.argsort(settings.means[x.column][the_front.places], kind="stable")]
    share = np.zeros(len(settings)) if the_front.share is None else the_front.share
    maybe = (share >= MAYBE) & ~the_front.is_on
    is_measured = np.isfinite([settings.means[outcome.column] for outcome in the_front.outcomes]).all(axis=0)
    bettered = np.flatnonzero(is_measured & ~the_front.is_on & ~maybe)
    shown = bettered
    if len(bettered) > MOST_BETTERED:
        shown = np.sort(np.random.default_rng(0).choice(bettered, MOST_BETTERED, replace=False))
    likely = np.flatnonzero(maybe)[np.argsort(-share[maybe], kind="stable")][:MOST_BETTERED]
    traces = []
    if len(shown):
        marker: Spec = {"size": 5, "color": faded(ARRIVALS, 0.55)}
        traces.append(_points(settings, the_front, shown, "bettered by another setting", marker))
    if len(likely):
        marker = {"size": 8, "color": BACKGROUND, "line": {"color": PALETTE[0], "width": 1.6}}
        traces.append(_points(settings, the_front, likely, "on the front in some draws of the seeds", marker))
    if not third:
        traces.append(_staircase(settings, the_front, on))
    marker = {"size": 10, "color": PALETTE[0], "line": {"color": BACKGROUND, "width": 1}}
    if third:
        shade = rounded(third[0], settings.means[third[0].column][on])
        marker |= {"color": shade, "colorscale": SCALE, "showscale": True, "colorbar": colour_bar(third[0])}
    traces.append({**_points(settings, the_front, on, "on the front", marker), **_bars(settings, the_front, on)})
    names = " and ".join(
        (", ".join(outcome.title for outcome in the_front.outcomes[:-1]), the_front.outcomes[-1].title)
    )
    drawn = f" Of {len(bettered):,} settings that others better, {len(shown)} are drawn at random."
    return Plot(
        name,
        f"Pareto front of {names}",
        _reading(settings, the_front, on, int(maybe.sum())) + (drawn if len(shown) < len(bettered) else ""),
        traces,
        layout(460, xaxis=axis(safe(x.axis)), yaxis=axis(safe(y.axis))),
    )


def _reading(settings: ComparedSettings, the_front: Front, on: IntArray, maybe: int) -> str:
    x, y, *third = the_front.outcomes
    sides = f"{'left' if x.better == 'less' else 'right'} and {'down' if y.better == 'less' else 'up'}"
    parts = [
        "A point is a setting, by its means over the seeds.",
        f"{len(on)} of {len(settings):,} {'is' if len(on) == 1 else 'are'} on the front.",
        f"No other setting is as good as they are in all of these outcomes and better in one. Better is {sides}.",
    ]
    if third:
        parts.append(f"The colour is {third[0].title}, of which {third[0].better} is better.")
    if the_front.share is None:
        parts.append("There are too few seeds to say how sure the front is.")
    else:
        parts.append(
            f"Bars: 95 % intervals over the seeds{f', of {MOST_BARS} settings' if len(on) > MOST_BARS else ''}. Under "
            f"the pointer: in which share of {RESAMPLES} draws of the seeds a setting is on the front."
        )
        if maybe:
            parts.append(f"{maybe} more {'is' if maybe == 1 else 'are'} on it in at least {100 * MAYBE:.0f} % of them.")
    return " ".join(parts)


def _points(settings: ComparedSettings, the_front: Front, places: IntArray, name: str, marker: Spec) -> Spec:
    x, y, *third = the_front.outcomes
    lines = [hover(x, "x"), hover(y, "y")]
    data: list[list[object]] = [[safe(settings.title(at)).replace(", ", "<br>")] for at in places.tolist()]
    if third:
        lines.append(hover(third[0], "customdata[1]"))
        for row, value in zip(data, rounded(third[0], settings.means[third[0].column][places]), strict=True):
            row.append(value)
    if the_front.share is not None:
        lines.append(f"on the front in %{{customdata[{2 if third else 1}]}} % of the draws")
        for row, value in zip(data, the_front.share[places].tolist(), strict=True):
            row.append(round(100.0 * value))
    template = "%{customdata[0]}<br>" + "<br>".join(lines) + "<extra></extra>"
    return points(*_at(settings, the_front, places), name, marker, customdata=data, hovertemplate=template)


def _at(
    settings: ComparedSettings, the_front: Front, places: IntArray
) -> tuple[list[float | None], list[float | None]]:
    """Settings by their first two outcomes."""
    x, y = (rounded(outcome, settings.means[outcome.column][places]) for outcome in the_front.outcomes[:2])
    return x, y


def _staircase(settings: ComparedSettings, the_front: Front, on: IntArray) -> Spec:
    """The front as steps between its settings."""
    shape = "hv" if the_front.outcomes[0].better == "less" else "vh"
    style = {"shape": shape, "width": 1.4, "color": faded(PALETTE[0], 0.6)}
    return line(*_at(settings, the_front, on), "", style, hoverinfo="skip", showlegend=False)


def _bars(settings: ComparedSettings, the_front: Front, on: IntArray) -> Spec:
    """The intervals of the first settings on the front, in both axes; empty with a single seed."""
    if len(settings.seeds) < 2:
        return {}
    bars: Spec = {}
    for name, outcome in zip(("error_x", "error_y"), the_front.outcomes, strict=False):
        mean, low, high, _ = settings.bounds(outcome, on)
        below, above = (np.where(np.arange(len(on)) < MOST_BARS, end, np.nan).tolist() for end in (low, high))
        looks: Spec = {"decimals": outcome.decimals + 2, "width": 3}
        bars[name] = error_bars(mean.tolist(), below, above, faded(PALETTE[0], 0.6), **looks)
    return bars


# ---- figures and settings in the text of plots ----


SCALE = [[place / (len(SHADES) - 1), shade] for place, shade in enumerate(SHADES)]
"""The colours of an outcome, from low to high."""


def cut(name: str, longest: int) -> str:
    """A name cut to the `longest` number of characters."""
    return safe(name if len(name) <= longest else f"{name[: longest - 1]}…")


def rounded(outcome: Outcome, values: FloatArray) -> list[float | None]:
    """Figures in the outcome's unit, with more digits than are shown."""
    return [
        round(outcome.factor * value, outcome.decimals + 2) if np.isfinite(value) else None for value in values.tolist()
    ]


def hover(outcome: Outcome, variable: str) -> str:
    """A line of the hover text: `cost 2.41 cores`."""
    return f"{safe(outcome.title)} %{{{variable}:.{outcome.decimals}f}} {outcome.unit}".rstrip()


def colour_bar(outcome: Outcome) -> Spec:
    """The legend of an outcome's colours."""
    title = {"text": safe(outcome.axis).replace(" [", "<br>["), "font": {"size": 12}}
    return {"title": title, "thickness": 12, "outlinewidth": 0, "nticks": 6}
