"""`ipa pipeline show`: profiles in the terminal, as JSON, and as a page whose markers tell measured numbers apart."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ipa import profiles
from ipa.studies.pages import html_of
from ipa.studies.pages.profile import VIEWS, plot
from ipa.studies.pages.profile import page as page_of
from ipa.studies.profile import ShownStage
from ipa.studies.profile.numbers import MARKS, counts, pins, sources
from tests.command import PIPELINE, answer, ipa, refusal
from tests.studies.page_rules import check_page

pytestmark = pytest.mark.usefixtures("elsewhere")

needs_plotly = pytest.mark.skipif(find_spec("plotly") is None, reason="a page is drawn with plotly")


# ---- the terminal ----


def test_every_number_has_its_mark() -> None:
    """Published for s2t-small on one core at batch 1: the p99 of 0.372937 s and 2.994 rps."""
    lines = ipa("pipeline", "show", "audio-qa", "--stage", "speech-to-text").stdout.splitlines()
    row, _ = (place for place, line in enumerate(lines) if line.startswith("  s2t-small"))
    cells = [re.split(r"  +", line.strip()) for line in lines[row : row + 3]]
    assert [line[:3] for line in cells] == [
        ["s2t-small", "mean s", "0.334◇"],
        ["accuracy 58.72●", "p99 s", "0.373●"],
        ["1 core, starts in 8 s✕", "rps", "2.99●"],
    ]
    assert len(cells[0]) == 2 + len((1, 2, 4, 8, 16, 32, 64))


def test_over_cores_stand_batch_1_and_the_largest_each_number_with_its_mark() -> None:
    """Published for xlm-roberta-base at batch 1: the p99 on four cores; on one core its throughput is calibrated."""
    text = ipa("pipeline", "show", "audio-qa", "--stage", "question-answering").stdout
    lines = text.partition("question-answering over cores, at batch 1 and the largest")[2].splitlines()
    assert [re.split(r"  +", line.strip()) for line in (lines[2], *lines[4:8])] == [
        ["variant", "cores", "1", "2", "4", "8"],
        ["xlm-roberta-base", "p99 s, batch 1", "0.0878◇", "0.0685◇", "0.0526●", "0.0352◇"],
        ["base: 1 core", "rps, batch 1", "13.4★", "20.0◇", "29.8◇", "44.6◇"],
        ["p99 s, batch 64", "3.96◇", "3.09◇", "2.37◇", "1.59◇"],
        ["rps, batch 64", "19.0◇", "28.4◇", "42.3◇", "63.3◇"],
    ]


def test_memory_is_shown_where_it_was_measured(tmp_path: Path) -> None:
    measured = "memory_mb: {value: 87.5, from: guess}\n"
    (tmp_path / "mine.yaml").write_text(
        PIPELINE.replace("        base_cores:", f"        {measured}        base_cores:")
    )
    text = ipa("pipeline", "show", tmp_path / "mine.yaml").stdout
    assert re.search(r"memory of small +87\.5 MiB at most", text)
    pipeline = profiles.load(tmp_path / "mine.yaml")
    if find_spec("plotly") is not None:
        assert "87.5 MiB at most" in html_of(page_of(pipeline, pipeline.stages))


def test_what_is_profiled_on_one_allocation_has_no_table_over_cores(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    assert "over cores" not in ipa("pipeline", "show", tmp_path / "mine.yaml").stdout


def test_calibrated_numbers_are_starred_and_explained() -> None:
    text = ipa("pipeline", "show", "audio-qa", "--stage", "question-answering").stdout
    assert (
        text.count("★") == 6
    )  # two throughputs, over batches and over cores, their count, and the entry that says how
    assert "13.4★" in text
    assert "★ 2 calibrated" in text
    assert "calibrated against" in " ".join(text.split())


def test_a_stage_alone_is_shown_alone_with_its_own_sources() -> None:
    text = ipa("pipeline", "show", "nlp", "--stage", "translation").stdout
    assert "opus-mt-tc-big-fr-en" in text
    assert "distilbart" not in text
    assert "series-99" in text
    assert "series-97" not in text


def test_a_narrow_terminal_shows_fewer_batch_sizes_and_cores_and_cuts_nothing() -> None:
    pipeline = profiles.load("sum-qa")
    table = ShownStage(pipeline, pipeline.stage("summarisation"))
    for width, batches, cores in (
        (120, ["1", "2", "4", "8", "16", "32", "64"], ["1", "2", "4", "8", "16"]),
        (80, ["1", "8", "64"], ["1", "4", "16"]),
    ):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(table)
        lines = captured.get().splitlines()
        heads = [line.split() for line in lines if line.strip().startswith("variant")]
        assert heads == [["variant", "batch", *batches], ["variant", "cores", *cores]]
        assert max(map(len, lines)) <= width
        assert "…" not in captured.get()


def test_what_is_pinned_is_said_with_its_reason() -> None:
    stages = profiles.load("audio-qa").stages
    assert list(pins(stages)) == [
        "SLA of speech-to-text",
        *(f"base cores of {name}" for name in ("s2t-medium", "wav2vec2-base", "wav2vec2-large")),
        "SLA of question-answering",
    ]
    assert pins(stages)["SLA of speech-to-text"].startswith("The published SLA, 25 x 0.334 s.")


def test_the_counts_are_of_all_three_numbers_of_every_figure() -> None:
    """A stage of five variants, four allocations and seven batch sizes: 420 numbers, of which 40 are published."""
    pipeline = profiles.load("audio-qa")
    found = counts(pipeline, [pipeline.stage("speech-to-text")])
    assert found == {"measured": 40, "interpolated": 380, "calibrated": 0, "assumed": 0}
    assert sources(pipeline, [pipeline.stage("speech-to-text")]) == [
        *("accuracy", "series-85", "batch", "inverse", "served", "start-up")
    ]


# ---- JSON ----


def test_json_has_every_figure_and_the_rules_values() -> None:
    shown = answer("pipeline", "show", "audio-qa", "--stage", "speech-to-text", "--json")
    assert list(shown) == ["pipeline", "description", "sla_s", "stages", "provenance"]
    (stage,) = shown["stages"]
    assert (stage["name"], stage["sla_s"], round(stage["sla_rule_s"], 2)) == ("speech-to-text", 8.34, 8.31)
    medium = stage["variants"][1]
    assert (medium["base_cores"], medium["base_cores_rule"]) == (2, 1)
    assert len(medium["figures"]) == 4 * 7
    assert medium["figures"][0]["p99_from"] == "series-85"
    assert shown["provenance"]["series-85"]["kind"] == "measured"
    assert all(figure["mean_from"] in shown["provenance"] for figure in medium["figures"])


def test_a_pipeline_of_ones_own_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    shown = answer("pipeline", "show", tmp_path / "mine.yaml", "--json")
    assert shown["pipeline"] == "mine"
    assert "✕ 9 assumed" in ipa("pipeline", "show", tmp_path / "mine.yaml").stdout


# ---- mistakes ----


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (
            "pipeline show vidoe",
            ["'vidoe'", "did you mean 'video'", "shipped: audio-qa, audio-sent, cascade, chat, helpdesk, image, nlp"],
        ),
        ("pipeline show video --stage object-detectoin", ["did you mean 'object-detection'", "image-classification"]),
        ("pipeline show nofile.yaml", ["nofile.yaml: cannot be read"]),
        ("profile sho video", ["sho"]),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(command: str, parts: list[str]) -> None:
    message = refusal(*command.split())
    assert all(part in message for part in parts)


@needs_plotly
def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal("pipeline", "show", "video", "--to", tmp_path / "file" / "page.html")


# ---- the page ----


def drawn(name: str, stage: str, view: int) -> list[dict[str, Any]]:
    pipeline = profiles.load(name)
    return plot(pipeline, pipeline.stage(stage), VIEWS[view]).traces


def test_markers_tell_by_shape_where_a_number_comes_from() -> None:
    """xlm-roberta-base on one core at batches 1, 2, 4, ...: its throughput is calibrated, then follows a law."""
    throughput = [trace for trace in drawn("audio-qa", "question-answering", 0) if trace["yaxis"] == "y3"]
    assert [trace["name"] for trace in throughput] == ["xlm-roberta-base", "roberta-base"]
    first = throughput[0]
    assert (first["x"], first["y"][:2]) == ([1, 2, 4, 8, 16, 32, 64], [13.4, 15.77])
    assert first["marker"]["symbol"] == ["star", *["diamond-open"] * 6]
    assert first["text"][0] == "1 core, batch 1<br>calibrated: calibrated"


def test_every_kind_has_a_shape_and_a_sign_of_its_own() -> None:
    assert len({mark.symbol for mark in MARKS.values()}) == len({mark.sign for mark in MARKS.values()}) == 4


def test_against_cores_the_base_cores_are_ringed() -> None:
    """Detection needs 1, 1, 2, 4 and 8 cores."""
    traces = [trace for trace in drawn("video", "object-detection", 1) if trace["yaxis"] == "y"]
    assert [trace["x"] for trace in traces[:-1]] == [[1, 2, 4, 8, 16]] * 5
    rings = traces[-1]
    assert rings["marker"]["symbol"] == "circle-open"
    assert rings["x"] == [1, 1, 2, 4, 8]
    assert rings["y"] == [traces[place]["y"][traces[place]["x"].index(x)] for place, x in enumerate(rings["x"])]


def test_axes_reach_all_points_and_the_sla() -> None:
    for name in profiles.names():
        pipeline = profiles.load(name)
        for stage in pipeline.stages:
            for view in VIEWS:
                made = plot(pipeline, stage, view)
                for trace in made.traces:
                    for letter in "xy":
                        axis = made.layout[f"{letter}axis{trace[f'{letter}axis'][1:]}"]
                        low, high = (10**end for end in axis["range"])
                        assert all(low < value < high for value in trace[letter])
                low, high = (10**end for end in made.layout["yaxis2"]["range"])
                assert low < stage.sla_s < high


@needs_plotly
def test_the_page_has_everything_and_is_the_same_every_time(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    shown = ipa("pipeline", "show", "nlp", "--to", page)
    assert f"Report: {page}" in " ".join(shown.stdout.split())
    text = page.read_text(encoding="utf-8")
    pipeline = profiles.load("nlp")
    assert text == html_of(page_of(pipeline, pipeline.stages))
    body = text.partition("</script>")[2]
    assert "0.97 + 12.76 + 3.87 = 17.6 s" in body
    for stage in pipeline.stages:
        assert f"<h2>{stage.name}</h2>" in body
        assert all(f'id="plot-{stage.name}-{view.key}"' in body for view in VIEWS)
        assert all(f"<td>{variant.name}</td>" in body for variant in stage.variants)
    for key, origin in pipeline.provenance.items():
        assert f"<dt>{MARKS[origin.kind].sign} {key}</dt>" in body
    assert 'src="http' not in body
    check_page(text)


@needs_plotly
def test_a_page_and_json_go_together(tmp_path: Path) -> None:
    result = ipa("pipeline", "show", "video", "--to", tmp_path / "page.html", "--json")
    assert json.loads(result.stdout)["pipeline"] == "video"
    assert (tmp_path / "page.html").is_file()


@needs_plotly
def test_text_of_a_file_cannot_break_the_page(tmp_path: Path) -> None:
    evil = PIPELINE.replace("One stage.", "<script>alert(1)</script>").replace("task: sorts", "task: </h2><b>x")
    (tmp_path / "mine.yaml").write_text(evil)
    pipeline = profiles.load(tmp_path / "mine.yaml")
    body = html_of(page_of(pipeline, pipeline.stages)).partition("</head>")[2]
    assert "<script>alert" not in body
    assert "</h2><b>" not in body
