"""Commands and options of earlier versions, and what takes their place."""

from __future__ import annotations

REPLACED = {
    "again": "ipa simulate FOLDER, ipa compare FOLDER or ipa sweep FOLDER, as it was made, with --set KEY=VALUE",
    "replay": "replay(JOURNAL, SCENARIO) of ipa.studies in Python",
}
"""A command's words or an option -> what takes its place."""


def in_place_of(name: str) -> str:
    """What takes the place of a command or an option, as an error; empty if it never was one."""
    return f"{name} is {REPLACED[name]}" if name in REPLACED else ""
