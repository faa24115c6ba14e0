"""`ipa report --static`: each figure as an image, or a message that says what is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ipa.studies.pages.plots import Plot, axis, draw_images, layout, steps
from tests.command import ipa, refusal
from tests.studies.browser import needs_chromium

needs_kaleido = pytest.mark.skipif(find_spec("kaleido") is None, reason="kaleido is not installed")


def test_without_kaleido_the_extra_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.pages.plots.find_spec", lambda name: None)
    assert "--static needs kaleido, which is not installed: pip install '.[static]' in the checkout" in refusal(
        "report", "run", "--static", "svg"
    )
    assert not (own / "run" / "figures").exists()


@needs_kaleido
def test_without_chromium_it_is_said_how_to_name_one(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = "choreographer.browsers.chromium.Chromium.find_browser"
    monkeypatch.setattr(find, lambda **_: None)
    assert "needs Chromium or Chrome, which was not found: install it, or name its program in BROWSER_PATH" in refusal(
        "report", "run", "--static", "svg"
    )
    monkeypatch.setattr(find, lambda **_: "/nowhere/chromium")
    assert "BROWSER_PATH names /nowhere/chromium, which is no file" in refusal("report", "run", "--static", "pdf")
    assert not (own / "run" / "figures").exists()


def test_each_figure_is_an_image_named_after_it_in_a_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.pages.check_images", lambda what: None)
    monkeypatch.setattr("ipa.studies.pages.draw_images", lambda plots, form, on_drawn: [b"drawn"] * len(plots))
    said = ipa("report", "run", "--static", "svg").stdout.splitlines()
    assert "run/figures/cores.svg" in said
    assert sorted(path.name for path in (own / "run" / "figures").iterdir()) == sorted(Path(path).name for path in said)
    (own / "file").write_text("")
    assert "file: is a file; images go into a folder" in refusal("report", "run", "--static", "png", "--to", "file")


@pytest.mark.long
@needs_kaleido
@needs_chromium
def test_an_image_is_of_the_form_asked_for_and_twice_as_fine_as_its_plot() -> None:
    """A PNG begins with its mark; its width and height stand at bytes 16 to 24."""
    plot = Plot("a", "A", "", [steps([0.0, 1.0], [1.0, 2.0], "line", {})], layout(300, xaxis=axis(), yaxis=axis()))
    (image,) = draw_images([plot], "png")
    assert image.startswith(b"\x89PNG")
    assert [int.from_bytes(image[at : at + 4], "big") for at in (16, 20)] == [2000, 600]
