"""Plots as image files: drawn by Chromium, which kaleido runs without a window."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from ipa.studies.pages.plots import Plot
from ipa.studies.scenario import ScenarioError

WIDTH = 1000
"""The width of an image [pixels]; its height is the plot's. A PNG has twice as many pixels each way."""


def check_images(what: str) -> None:
    """Raise ScenarioError, beginning with `what`, where kaleido or Chromium is missing."""
    if find_spec("kaleido") is None:
        raise ScenarioError(f"{what} needs kaleido, which is not installed: pip install '.[static]' in the checkout")
    from choreographer.browsers.chromium import Chromium

    browser = Chromium.find_browser(skip_local=False)
    if browser is None:
        raise ScenarioError(
            f"{what} needs Chromium or Chrome, which was not found: install it, or name its program in BROWSER_PATH"
        )
    if not Path(browser).is_file():
        raise ScenarioError(f"{what} needs Chromium or Chrome, and BROWSER_PATH names {browser}, which is no file")


def draw_images(plots: Sequence[Plot], form: str, on_drawn: Callable[[], object] = lambda: None) -> list[bytes]:
    """The files of plots in a form: png, svg or pdf; `on_drawn` is called after each.

    Raises ScenarioError where kaleido or Chromium is missing (see `check_images`), or Chromium does not draw.
    """
    check_images(f"an image as {form}")
    from choreographer.errors import BrowserFailedError, ChannelClosedError

    try:
        return asyncio.run(_drawn(plots, form, on_drawn))
    except (BrowserFailedError, ChannelClosedError, TimeoutError) as error:
        raise ScenarioError(f"Chromium did not draw the images: {error}") from error


async def _drawn(plots: Sequence[Plot], form: str, on_drawn: Callable[[], object]) -> list[bytes]:
    from kaleido import Kaleido

    scale = 2 if form == "png" else 1
    # MathJax would come from the network.
    async with Kaleido(mathjax=False) as chromium:
        drawn = []
        for plot in plots:
            size = {"width": WIDTH, "height": plot.layout["height"], "scale": scale}
            figure = {"data": plot.traces, "layout": plot.layout}
            drawn.append(await chromium.calc_fig(figure, opts={"format": form, **size}))
            on_drawn()
        return drawn
