"""The command line: `main` is the command `ipa`.

A command's module is imported when the command is called, and must be cheap to import, so that `--help` is fast. Heavy
modules are reached through the lazy packages `ipa` and `ipa.studies`.
"""

from ipa.studies.commands.root import main

__all__ = ["main"]
