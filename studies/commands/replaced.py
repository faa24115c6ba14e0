"""Commands and options of earlier versions, and what takes their place."""

from __future__ import annotations

REPLACED = {
    "again": "ipa simulate FOLDER, ipa compare FOLDER or ipa sweep FOLDER, as it was made, with --set KEY=VALUE",
    "live load": "ipa live run PIPELINE --backend kubernetes --url URL, or k6 or GuideLLM for any other server",
    "live recover": "gone: --state FILE keeps the journal, from which a controller resumes",
    "optimise --over": "ipa explore PIPELINE, which draws the plan against the load",
    "predictor show": "ipa predictor evaluate, a table",
    "profile compare": "ipa pipeline show FILE --json, of each",
    "profile list": "ipa pipeline list",
    "profile show": "ipa pipeline show",
    "replay": "replay(JOURNAL, SCENARIO) of ipa.studies in Python",
    "trace synthesise": "ipa trace convert NAME --to FILE",
}
"""A command's words or an option -> what takes its place."""


def in_place_of(name: str) -> str:
    """What takes the place of a command or an option, as an error; empty if it never was one."""
    return f"{name} is {REPLACED[name]}" if name in REPLACED else ""
