"""Comments behind the values of a manifest: what was guessed, and what was rounded."""

from __future__ import annotations

_MARK = "\N{SYMBOL FOR UNIT SEPARATOR}"
"""Between a value and its comment, until the document has become text."""

_COLON = "\N{SYMBOL FOR RECORD SEPARATOR}"
"""For a colon in a comment, for which YAML would quote the value."""


def commented(value: object, why: str) -> str:
    """A value with a comment, which `with_comments` sets behind it."""
    return f"{value}{_MARK}{why.replace(': ', _COLON)}{_MARK}"


def guessed(value: str, meaning: str) -> str:
    """A value that depends on the cluster; `meaning`: what it stands for."""
    return commented(value, f"a guess: {meaning}")


def in_whole(value: float, at_least: int = 0, unit: str = "") -> int | str:
    """A number that a manifest holds as a whole one, and with a `unit` as text; rounded ones say from what."""
    whole = max(round(value), at_least)
    text: int | str = f"{whole}{unit}" if unit else whole
    return text if abs(value - whole) < 1e-6 else commented(text, f"rounded from {value:g}{unit}")


def with_comments(text: str) -> str:
    """The document's text, one value a line, with its comments."""
    return "".join(f"{_with_comment(line)}\n" for line in text.splitlines())


def _with_comment(line: str) -> str:
    key, separator, rest = line.partition(": ")
    if _MARK not in rest:
        return line
    quote = rest[0] if rest[0] in "'\"" else ""
    value, why, _ = rest.strip(quote or None).split(_MARK)
    return f"{key}{separator}{quote}{value}{quote}  # {why.replace(_COLON, ': ')}"
