"""The command line: `main` is the command `ipa`.

A command's module is imported when the command is called; importing one must stay cheap, so that every `--help`
answers at once. What is heavy is reached through the lazy faces of `ipa` and `ipa.studies`.
"""

from ipa.studies.commands.root import main

__all__ = ["main"]
