"""A report as one HTML page: everything in it, plotly.js included, so that it opens anywhere and offline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from ipa.studies.errors import ScenarioError
from ipa.studies.report.bands import bands
from ipa.studies.report.groups import Group, by_policy
from ipa.studies.report.headline import comparisons, reading, table
from ipa.studies.report.plane import plane
from ipa.studies.report.plots import Plot
from ipa.studies.report.timelines import cores, distribution, latency, load, violations

if TYPE_CHECKING:
    from ipa.studies.results import RunData


def render(runs: Sequence[RunData], title: str, facts: Mapping[str, str] | None = None) -> str:
    """The page for one or several finished runs on the same load; several seeds of a policy make its intervals.

    `facts` are further lines of "What was run" (versions, a hash). The same runs give the same page, byte for byte.
    Raises ScenarioError where there are no runs, they are on different loads, a policy has a seed twice, or plotly is
    not installed.
    """
    groups = by_policy(runs)
    headline = f'<p class="muted">{reading(groups)}</p>\n{table(groups)}{comparisons(groups)}'
    return document(
        title,
        _subtitle(groups),
        f"<section>\n<h2>Headline</h2>\n{headline}</section>\n"
        f"{''.join(map(_section, plots(groups)))}<details>\n<summary>What was run</summary>\n"
        f"<dl>\n{_facts(groups, facts or {})}</dl>\n</details>\n",
    )


def write(runs: Sequence[RunData], title: str, path: Path, facts: Mapping[str, str] | None = None) -> None:
    """Write the page of `render` to a file, whole or not at all; raises as `render` does, and for an unusable path."""
    save(render(runs, title, facts), path)


def document(title: str, subtitle: str, body: str) -> str:
    """An HTML document of ours, with our style and plotly.js in it; `subtitle` and `body` are HTML.

    Raises ScenarioError where plotly is not installed.
    """
    return _PAGE.format(
        title=escape(title),
        style=files("ipa.studies.report").joinpath("page.css").read_text(encoding="utf-8"),
        plotly=_plotly_js(),
        subtitle=subtitle,
        body=body,
    )


def save(document: str, path: Path) -> None:
    """Write a document to a file, whole or not at all; ScenarioError for an unusable path."""
    page = document.encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as part:
            part.write(page)
        try:
            os.chmod(part.name, 0o644)
            os.replace(part.name, path)
        except OSError:
            os.unlink(part.name)
            raise
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be written: {error.strerror}") from None


def plots(groups: Sequence[Group]) -> list[Plot]:
    """All plots, in the order of the page."""
    summary = groups[0].runs[0].summary
    duration_s, sla_s = float(summary["duration_s"]), float(summary["sla_s"])
    first = _first_seeds(groups)
    return [
        plane(groups),
        load(groups, duration_s, first),
        cores(groups, duration_s, first),
        bands(groups, duration_s, first),
        latency(groups, duration_s, sla_s, first),
        violations(groups, duration_s, sla_s, first),
        distribution(groups, sla_s),
    ]


def _first_seeds(groups: Sequence[Group]) -> str:
    """The sentence for plots over time, which show one seed of several."""
    if all(len(group.runs) == 1 for group in groups):
        return ""
    first = {group.seeds[0] for group in groups}
    return f" Seed {first.pop()} only." if len(first) == 1 else " The first seed of each policy only."


def _section(plot: Plot) -> str:
    return f'<section>\n<h2>{plot.heading}</h2>\n<p class="muted">{plot.reading}</p>\n{plot.html()}</section>\n'


def _subtitle(groups: Sequence[Group]) -> str:
    summary = groups[0].runs[0].summary
    return (
        f"Pipeline {escape(str(summary['pipeline']))} on the load {escape(str(summary['trace']))}: "
        f"{_counted(len(groups), 'policy', 'policies')}, "
        f"{_counted(sum(len(group.runs) for group in groups), 'run', 'runs')}, "
        f"{float(summary['duration_s']):,g} s each, SLA {float(summary['sla_s']):.4g} s"
    )


def _facts(groups: Sequence[Group], more: Mapping[str, str]) -> str:
    """The lines of "What was run"."""
    summary = groups[0].runs[0].summary
    requests = [int(run.summary["requests"]) for group in groups for run in group.runs]
    lines = {
        "Pipeline": str(summary["pipeline"]),
        "Load": str(summary["trace"]),
        "Duration": f"{float(summary['duration_s']):,g} s",
        "Requests a run": _between(min(requests), max(requests)),
        "SLA, end to end": f"{float(summary['sla_s']):.4g} s",
        "Policies and seeds": "; ".join(
            f"{group.policy} (seed {', '.join(map(str, group.seeds))})" for group in groups
        ),
        "Decisions a run": _between(
            *(end(int(run.summary["decisions"]) for group in groups for run in group.runs) for end in (min, max))
        ),
        **more,
    }
    return "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>\n" for name, value in lines.items())


def _between(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _plotly_js() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        raise ScenarioError(
            "a report is drawn with plotly, which is not installed: pip install 'ipa-pipelines[report]'"
        ) from None
    return str(get_plotlyjs())


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
<script>{plotly}</script>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{subtitle}</p>
</header>
{body}</body>
</html>
"""
