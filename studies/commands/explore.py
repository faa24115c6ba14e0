"""`ipa explore`: a question and its answer on a local page."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from threading import Thread

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import Whole, quiet_option
from ipa.studies.many import workers


@click.command()
@click.argument("what", metavar="[PIPELINE|FILE|FOLDER]", default="video")
@click.option(
    "--port", type=Whole(min=0, max=65535), default=0, help="Port of this machine. Default: one that is free."
)
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
@quiet_option
def explore(what: str, port: int, no_browser: bool) -> None:
    """Change a scenario on a local page, and see the results change.

    PIPELINE is the name of a shipped pipeline, by default video; FILE is a file of a pipeline, a scenario or a fleet;
    FOLDER holds the results of a run or a comparison, with whose scenario, policies and seeds the page starts; of a
    live run, beside what it measured; or of a sweep or a study, any of whose points can be chosen. The page is on this
    machine alone, under an address with a token. Ctrl-C ends it.
    """
    question = studies.explore.about(what)
    try:
        server = studies.explore.Explorer(port)
    except OSError as error:
        raise click.ClickException(f"--port {port}: cannot be had: {error.strerror or error}") from None
    address = server.address(question)
    with workers.terminable(*workers.CLOSED_TERMINAL):  # the server leaves no file behind
        try:
            printing.note("Ctrl-C ends it")
            click.echo(address)
            if not no_browser:
                Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            server.serve_forever()
        except KeyboardInterrupt:
            with suppress(OSError):  # a terminal that is closed
                printing.note("ended")
        finally:
            server.close()
