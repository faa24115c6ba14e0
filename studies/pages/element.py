"""A plot's element in a page: its name in words, its data, and its layouts for wide and narrow screens."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape, unescape
from typing import Any

from ipa.studies.pages.narrow import narrowed

Spec = dict[str, Any]


def plot_element(ident: str, heading: str, traces: Sequence[Spec], layout: Spec, least_width: int = 0) -> str:
    """The element that the page's script draws into, named for those who cannot see it.

    With `least_width` [pixels] it stands in a box that scrolls sideways where the screen is narrower.
    """
    spec = in_script({"data": traces, "layout": layout, "narrow": narrowed(traces, layout)})
    words = escape(in_words(heading, traces, layout))
    wide = f";min-width:{least_width}px" if least_width else ""
    element = (
        f'<div class="plot" id="{escape(ident)}" role="img" aria-label="{words}" '
        f'style="height:{layout["height"]}px{wide}"></div>\n'
        f'<script type="application/json" id="{escape(ident)}-spec">{spec}</script>\n'
    )
    if not least_width:
        return element
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(_text(heading))}">\n{element}</div>\n'


def in_words(heading: str, traces: Sequence[Spec], layout: Spec) -> str:
    """What a plot shows: its heading (HTML), what is up and across, and the names of what is drawn."""
    up, across = (_titles(layout, letter) for letter in "yx")
    names = list(dict.fromkeys(name for trace in traces if (name := _text(trace.get("name", "")))))
    against = f": {up} against {across}" if up and across else f": {up or across}" if up or across else ""
    return f"{_text(heading)}{against}. Shown: {', '.join(names) or 'nothing'}."


def _titles(layout: Spec, letter: str) -> str:
    """The titles of the axes of a letter; of panels that share one, it is turned text beside them."""
    axes = [axis for key, axis in layout.items() if re.fullmatch(rf"{letter}axis\d*", key)]
    titles = [_text(axis.get("title", {}).get("text", "")) for axis in axes]
    if letter == "y":
        titles += [_text(note["text"]) for note in layout.get("annotations", ()) if note.get("textangle") == -90]
    return ", ".join(dict.fromkeys(filter(None, titles)))


def _text(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def in_script(value: object) -> str:
    """JSON that is safe in a script: no text in it can end the script."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
