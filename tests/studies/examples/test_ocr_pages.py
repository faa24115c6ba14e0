"""Pages of a seed, and scores by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("PIL")

from ipa.live import LiveError, read_samples
from ipa.studies.examples.ocr.lines import Box
from ipa.studies.examples.ocr.measure import f1, matches
from ipa.studies.examples.ocr.pages import pages, write_pages
from ipa.studies.runs.live_runs import character_accuracy
from ipa.studies.runs.live_runs.samples import edit_distance
from tests.studies.examples.ocr_wheels import needs_wheels


@needs_wheels
def test_a_seed_s_pages_are_the_same_byte_for_byte_and_others_are_not() -> None:
    first = list(pages(3, 7))
    assert list(pages(3, 7)) == first
    assert list(pages(2, 7)) == first[:2]
    assert not {each.picture for each in pages(3, 8)} & {each.picture for each in first}


@needs_wheels
def test_a_folder_of_pages_is_one_of_samples(tmp_path: Path) -> None:
    write_pages(2, 7, tmp_path / "pages")
    made = list(pages(2, 7))
    samples = read_samples(tmp_path / "pages")
    assert [sample.path.read_bytes() for sample in samples] == [page.picture for page in made]
    assert [sample.answer for sample in samples] == [page.text for page in made]
    label = json.loads((tmp_path / "pages" / "labels.jsonl").read_text().splitlines()[0])
    assert [line["text"] for line in label["lines"]] == made[0].text.split("\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no file"),
        ("{", "labels.jsonl:1: is not JSON"),
        ('{"answer": "a"}', 'labels.jsonl:1: should be like {"file": "0001.jpg", "answer": "what it says"}'),
        ('{"file": "a.jpg"}', "labels.jsonl:1: file: a.jpg: there is no such file"),
    ],
)
def test_wrong_labels_are_answered_by_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "labels.jsonl").write_text(text)
    with pytest.raises(LiveError) as refused:
        read_samples(tmp_path)
    assert says in str(refused.value)


def test_characters_right_by_hand() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert character_accuracy(["kitten", "x"], ["sitting", "x"]) == 1 - 3 / 8
    assert character_accuracy(["far too long an answer"], ["a"]) == 0.0


def test_a_box_is_found_once_and_by_the_one_that_covers_it_best() -> None:
    """Of two boxes on one line, one counts; a line that is half covered is not found."""
    line, other = Box(50, 20, 60, 16, 0.0), Box(50, 70, 60, 16, 0.0)
    near, shifted = Box(51, 20, 60, 16, 0.0), Box(58, 20, 60, 16, 0.0)
    assert matches([shifted, near], [line, other], (100, 100)) == 1
    assert matches([near, Box(95, 70, 60, 16, 0.0)], [line, other], (120, 100)) == 1
    assert f1(1, 2, 2) == 0.5
