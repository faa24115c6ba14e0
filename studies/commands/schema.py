"""`ipa schema`: the JSON Schema of the files."""

from __future__ import annotations

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import Words, output_options
from ipa.studies.scenario import choices


@click.command()
@click.argument("kind", type=Words(choices.FileKind), required=False)
@output_options
def schema(kind: str | None, as_json: bool) -> None:
    """Print the JSON Schema of files of a kind or, without one, of all kinds, for editors.

    The kinds are pipeline, scenario, study and published. A file that begins with the comment
    `# yaml-language-server: $schema=ipa.schema.json` is then completed and checked while it is written.
    """
    printing.print_json(studies.schemas.json_schema(kind))
