"""The command line: `main` is the command `ipa`.

A command's module is imported when the command is called; importing one must stay cheap, so that every `--help`
answers at once. What is heavy is reached through the lazy faces of `ipa` and `ipa.studies`.

root        the command `ipa` and its table of commands · group: a group that imports a command when it is called
simulate, compare, explain, study, sweep, tune, optimise, report, replay, validate, doctor, schema: a module each
trace/      `ipa trace ...` · profile/: `ipa profile ...` · policy/: `ipa policy ...` · live/: `ipa live ...` ·
pipeline/: `ipa pipeline ...` · predictor/: `ipa predictor ...` · models/: `ipa models ...`
options     options that several commands share, and the scenario that they describe · amounts: numbers as options
complete    what a shell offers when Tab is pressed
printing    what several commands print · progress: bars and lines while something runs
jobs        many runs at once: how many, and how an interrupt ends · reports: the option --report
live_view   how a live run is shown while it runs · live_line: as a line · live_screen: as a screen
"""

from ipa.studies.commands.root import main

__all__ = ["main"]
