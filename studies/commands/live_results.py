"""The results of live runs on the command line: whether there can be some, and where they are written."""

from __future__ import annotations

import click

from ipa.studies.commands.options import Results


def check_no_results(results: Results, why: str) -> None:
    """Raise UsageError for an option about a run's results if only a controller runs."""
    options = {"--out": results.out, "--report": results.report, "--json": results.as_json}
    wanted_results = [name for name, value in options.items() if value]
    if wanted_results:
        raise click.UsageError(
            f"{', '.join(wanted_results)}: with {why} on a cluster no load is sent, so there are no results to write; "
            "use --set controller.state=FILE to keep the journal, or controller.metrics_port"
        )
