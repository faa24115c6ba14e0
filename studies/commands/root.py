"""The command `ipa`: its subcommands, and its handling of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Any, TextIO

import click

from ipa.errors import Error, InputError
from ipa.studies.commands.group import LazyGroup

KEPT = {
    "models": "files that were finished are kept",
    "profile": "measurements made so far are kept: ipa profile run resumes",
}
"""Command -> what it leaves when interrupted; commands of many runs report it themselves."""
KEPT_ON_CLUSTER = "what was made on a cluster until then is there: ipa live status shows it, ipa live down removes it"
"""What `ipa live` leaves on a cluster."""

_WORDS = f"{__name__}.words"
"""The key of a command's words in its context."""
_OUTPUT = "standard output: cannot be written"
_NO_ROOM = (EDQUOT, EFBIG, ENOSPC)


class Root(LazyGroup):
    """Reports errors as one clear message with an exit code, never as a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        if sys.stdout is None:  # `ipa ... >&-`
            click.echo("Error: standard output is closed; send it to a file or to /dev/null", err=True)
            sys.exit(1)
        try:
            with redirect_stdout(_Output(sys.stdout)):
                try:
                    return super().main(*args, **kwargs)
                finally:
                    sys.stdout.flush()  # here, where an error can still be handled
        except OSError as error:
            _drop_output()
            if isinstance(error, BrokenPipeError):
                sys.exit(0)
            place = f"{error.filename}: " if error.filename else ""
            if error.errno in _NO_ROOM and not place:
                from tempfile import gettempdir

                place = f"a file cannot be written (temporary ones are in {gettempdir()}): "
            with suppress(OSError):
                click.echo(f"Error: {place}{error.strerror or error}", err=True)
            sys.exit(1)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = self._invoke(ctx)
        finally:
            from ipa.studies.commands import unwritten

            problems = unwritten.problems_of(ctx)
            for problem in problems:
                click.echo(f"Error: {problem}", err=True)
        if problems:
            raise click.exceptions.Exit(problems[0].exit_code)
        return result

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            consequence = KEPT.get(str(ctx.invoked_subcommand), "nothing was written")
            if _is_for_cluster(ctx.meta[_WORDS]):
                consequence = KEPT_ON_CLUSTER
            raise click.ClickException(f"interrupted; {consequence}") from None
        except InputError as error:
            raise click.UsageError(str(error)) from None
        except BrokenPipeError:
            # The reader of our output has stopped (`ipa ... | head`), which is no error.
            _drop_output()
            raise click.exceptions.Exit(0) from None
        except ModuleNotFoundError as error:
            from ipa.studies.commands.extras import to_install

            advice = to_install(error.name)
            if not advice:
                raise
            click.echo(f"Error: this command {advice}", err=True)
            raise click.exceptions.Exit(2) from None
        except Error as error:
            click.echo(f"Error: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from None


def _is_for_cluster(words: tuple[str, ...]) -> bool:
    """Whether these words of a command make something on a cluster."""
    is_live = words[:1] == ("live",)
    return is_live and (words[1:2] in (("up",), ("down",)) or any(word.endswith("kubernetes") for word in words))


class _Output:
    """Standard output, whose errors have its name in place of a file's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._named():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._named():
            self._stream.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = _OUTPUT
            if isinstance(error, BrokenPipeError):  # click may take it, and then nobody else hears of it
                _drop_output()
            raise


def _drop_output() -> None:
    """Discard buffered output: it cannot be written, and flushing it at exit would fail again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=Root,
    package="ipa.studies.commands",
    groups={
        "look": {
            "doctor": "Check this machine: engines, solvers, extras, programs and files.",
            "explain": "Explain what runs lost against the oracle.",
            "explore": "Change a scenario on a local page, and see the results change.",
            "optimise": "Explain one decision, or list the Pareto-optimal plans.",
            "report": "Draw stored results as one HTML file.",
        },
        "run": {
            "simulate": "Simulate one policy on one load.",
        },
        "many": {
            "compare": "Run several policies on the same requests, and compare them.",
            "study": "Run several systems on several loads, over seeds.",
            "sweep": "Run one scenario with other values of its keys.",
            "tune": "Choose parameters on some windows of a load, test on others.",
        },
        "live": {
            "live": "Run pipelines on real servers, on this machine or on a cluster.",
            "profile": "Measure the latencies of models, and write them into a file.",
            "validate": "Compare the simulator with live runs of the same scenario.",
        },
        "files": {
            "models": "List, publish and fetch real models.",
            "pipeline": "List, show, check and make pipelines.",
            "policy": "List policies; read and write autoscalers' settings.",
            "predictor": "List, score and train predictors of the load.",
            "schema": "Print the JSON Schema of files, or the columns of tables.",
            "trace": "List, inspect, fetch and convert loads.",
        },
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ipa-pipelines", prog_name="ipa")
def main() -> None:
    """Simulate and run inference pipelines that adapt to their load.

    A policy keeps choosing the model variant, the batch size and the number of replicas of each stage.

    \b
    ipa simulate video                       IPA on 20 minutes of a bursty load
    ipa compare video --report report.html   IPA next to scale-only and switch-only policies
    ipa optimise video --load 20             one decision, explained
    """
