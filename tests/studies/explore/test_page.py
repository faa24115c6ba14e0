"""What the page does in a browser: ask, refuse, pin, remember; by keyboard, on a telephone and in the dark."""

from __future__ import annotations

import csv
import json
import shlex
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies import compare, find
from ipa.studies.explore import Explorer
from ipa.studies.many.systems import BASELINES
from tests.command import answer, refusal
from tests.studies.browser import NARROW, WIDE, Browser, needs_chromium
from tests.studies.explore.conftest import ALL, answered, enter, visit

pytest.importorskip("plotly")

pytestmark = needs_chromium

SHORT = "from=video&trace=constant%3A5%3A30"


@pytest.fixture(autouse=True)
def silent(shown: Browser) -> Iterator[None]:
    """Whatever a test does, the page complains of nothing."""
    shown.size(WIDE, 900)
    shown.theme(dark=False)
    yield
    assert shown.run("errors") == []


def text(shown: Browser, selector: str) -> str:
    return str(shown.run(f"document.querySelector({json.dumps(selector)}).innerText"))


def click(shown: Browser, selector: str) -> None:
    shown.run(f"document.querySelector({json.dumps(selector)}).click()")


def cells(shown: Browser, box: str) -> list[list[str]]:
    rows = f"[...document.querySelectorAll('#{box} tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    return list(shown.run(rows))


def exact(shown: Browser) -> list[str]:
    """The figures of the first policy as the pointer shows them: to the last digit."""
    return list(shown.run("[...document.querySelectorAll('#figures tbody tr:first-child td')].map(cell => cell.title)"))


def slide(shown: Browser, name: str, part: float) -> None:
    """Drag a slider to a place from 0 to 1, and let go."""
    shown.run(f"""{{
      const slider = document.querySelector('input[type=range][aria-label="{name}, slider"]');
      for (const part of [0.4, 0.45, {part}]) {{
        slider.value = part;
        slider.dispatchEvent(new Event("input", {{bubbles: true}}));
      }}
      slider.dispatchEvent(new Event("change", {{bubbles: true}}));
    }}""")


def pictures(shown: Browser) -> list[str]:
    return list(shown.run("[...document.querySelectorAll('.plot .main-svg')].map(each => each.closest('.plot').id)"))


def test_a_slider_moves_figures_that_are_those_of_the_copied_command(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    before = exact(shown)
    slide(shown, "scale", 0.7)
    answered(shown, "scale=")
    assert exact(shown) != before
    command = text(shown, "#ways pre")
    assert "--set scale=" in command
    printed = answer(*shlex.split(command)[1:], "--json", "--quiet")
    keys = ("pas_mean", "cost_mean_cores", "sla_violation_rate", "latency_p50_s", "latency_p99_s", "dropped", "changes")
    factors = (1, 1, 100, 1, 1, 1, 1)
    assert [float(each) for each in exact(shown)] == [
        printed[key] * factor for key, factor in zip(keys, factors, strict=True)
    ]


def test_all_figures_are_drawn_and_say_what_they_show(shown: Browser, explorer: Explorer) -> None:
    shown.size(WIDE, ALL)
    visit(shown, explorer, f"{SHORT}&policy=ipa&policy=rate&seeds=2")
    assert text(shown, "h1") == "video on constant:5: ipa and rate compared"
    drawn = ["plane", "load", "cores", "bands", "latency", "distribution"]
    shown.until(f"document.querySelectorAll('.plot .main-svg').length >= {len(drawn)}")
    assert list(dict.fromkeys(name.removeprefix("plot-") for name in pictures(shown))) == drawn
    names = shown.run("[...document.querySelectorAll('.plot')].map(plot => plot.getAttribute('aria-label'))")
    assert names[0].endswith("Shown: ipa, rate.")
    assert names[2].startswith("Cores: cores against time since the start.")
    assert "95 %" in text(shown, "#intervals")


def test_which_policy_to_take_is_said_as_by_the_command(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, f"{SHORT}&policy=ipa&policy=rate&seeds=2")
    found = compare(find("video", {"trace": "constant:5:30"}), ["ipa", "rate"], seeds=2, jobs=1).recommend()
    said = "[...document.querySelectorAll('#take:not(:empty), #recommendation li')].map(each => each.textContent)"
    assert shown.run(said) == found.sentences
    visit(shown, explorer, SHORT)
    assert shown.run(said) == []


def test_the_address_alone_brings_the_answer_back(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    enter(shown, "sla_s", "3")
    answered(shown, "sla_s=3")
    enter(shown, "Seeds", "2")
    answered(shown, "seeds=2")
    shown.until("location.hash.includes('seeds=2')")
    address, table = shown.run("location.hash"), cells(shown, "figures")
    assert explorer.token not in shown.run("location.href")
    visit(shown, explorer, address.removeprefix("#"))
    assert cells(shown, "figures") == table
    assert shown.run("[...document.querySelectorAll('.control.set label')].map(each => each.innerText)")[-1].startswith(
        "sla_s"
    )


def test_back_and_forward_and_the_history_lead_to_what_was_asked(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    first = cells(shown, "figures")
    enter(shown, "scale", "2")
    answered(shown, "scale=2")
    shown.until("location.hash.includes('scale=2')")
    second = cells(shown, "figures")
    assert first != second
    shown.run("history.back()")
    shown.until("!document.body.dataset.answered.includes('scale')")
    assert cells(shown, "figures") == first
    shown.run("history.forward()")
    answered(shown, "scale=2")
    assert cells(shown, "figures") == second
    click(shown, "#history li:nth-child(2) a")
    shown.until("!document.body.dataset.answered.includes('scale')")
    assert cells(shown, "figures") == first
    assert "scale=2" in text(shown, "#history")


@pytest.mark.long
def test_back_is_not_undone_by_an_address_that_was_to_be_written(shown: Browser, explorer: Explorer) -> None:
    """Browsers refuse addresses that change faster than a few a second, so that the second one waits, unless the first
    was long ago: then one goes back to that."""
    visit(shown, explorer, SHORT)
    for scale in ("2", "3"):
        enter(shown, "scale", scale)
        answered(shown, f"scale={scale}")
    shown.run("history.back()")
    shown.until("!document.body.dataset.answered.includes('scale=3')")
    shown.run("new Promise(done => setTimeout(done, 600))")
    assert "scale=3" not in shown.run("location.hash")


@pytest.mark.long
def test_an_address_in_another_browser_says_that_it_needs_the_token(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    copied = shown.run("location.href")
    shown.call("Network.clearBrowserCookies")
    shown.call("Page.navigate", url="about:blank")
    shown.call("Page.navigate", url=copied)
    shown.until("document.body?.innerText.includes('this address needs a token')")
    shown.call("Page.navigate", url=copied.replace("#", f"?token={explorer.token}#"))
    shown.until("document.body?.dataset.answered")
    assert shown.run("location.href") == copied


@pytest.mark.long
def test_a_pin_is_compared_seed_by_seed_and_stands_in_the_address(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, f"{SHORT}&seeds=2")
    before = exact(shown)
    click(shown, "#pin")
    shown.until("!document.getElementById('pinned').hidden")
    assert "no difference in any figure" in text(shown, "#words")
    enter(shown, "scale", "3")
    answered(shown, "scale=3")
    rows = cells(shown, "differences")
    assert [row[0] for row in rows] == ["", "ipa", "seed 1", "seed 2"]
    pas = rows[0].index("PAS")
    shown_pas = float(rows[1][pas].split()[0].replace("−", "-"))
    assert shown_pas == pytest.approx(float(exact(shown)[0]) - float(before[0]), abs=0.005)
    assert f"PAS {rows[1][pas]}" in text(shown, "#words")
    shown.until("document.getElementById('plot-plane').textContent.includes('ipa (pinned)')")
    shown.until("location.hash.includes('scale=3')")
    visit(shown, explorer, shown.run("location.hash").removeprefix("#"))
    assert cells(shown, "differences") == rows
    click(shown, "#unpin")
    shown.until("document.getElementById('pinned').hidden")


@pytest.mark.long
def test_a_long_load_is_answered_coarsely_first_and_that_is_not_taken_along(
    shown: Browser, explorer: Explorer, tmp_path: Path
) -> None:
    """The policy waits from 400 s on: the beginning of the load is answered meanwhile."""
    visit(shown, explorer, SHORT)
    (tmp_path / "here").touch()
    enter(shown, "trace", "constant:5:600")
    answered(shown, "constant%3A5%3A600")
    enter(shown, "Policy 1", f"{Path(__file__).with_name('policies.py')}:Waits file={tmp_path / 'here'} since_s=400")
    shown.until("!document.getElementById('coarse').hidden")
    assert text(shown, "#coarse") == "Coarse: the first 300 of 600 s. The whole answer follows."
    assert text(shown, "#subtitle").startswith("300 s, 1,500 requests")
    assert cells(shown, "figures")[1][0].endswith("since_s=400")
    for button in ("csv", "table", "report", "pin"):
        assert shown.run(f"document.getElementById('{button}').getAttribute('aria-disabled')") == "true"
        click(shown, f"#{button}")
    assert shown.run("document.getElementById('pinned').hidden")
    assert text(shown, "#status") == "Asking…"  # no file is made
    (tmp_path / "here").unlink()
    answered(shown, "since_s")
    assert shown.run("document.getElementById('coarse').hidden && !document.body.classList.contains('coarse')")
    assert text(shown, "#subtitle").startswith("600 s, 3,000 requests")
    assert saved(shown, "csv").decode().count("\n") == 2


@pytest.mark.long
def test_a_newer_question_takes_the_place_of_a_coarse_answer(
    shown: Browser, explorer: Explorer, tmp_path: Path
) -> None:
    visit(shown, explorer, SHORT)
    before = cells(shown, "figures")
    (tmp_path / "here").touch()
    enter(shown, "trace", "constant:5:600")
    answered(shown, "constant%3A5%3A600")
    enter(shown, "Policy 1", f"{Path(__file__).with_name('policies.py')}:Waits file={tmp_path / 'here'} since_s=400")
    shown.until("!document.getElementById('coarse').hidden")
    enter(shown, "sla_s", "-1")
    shown.until("!document.getElementById('problem').hidden")
    assert shown.run("document.getElementById('coarse').hidden")
    assert text(shown, "#subtitle") == ""
    enter(shown, "sla_s", "")
    enter(shown, "Policy 1", "")
    enter(shown, "trace", "constant:5:30")
    shown.until("document.body.dataset.answered.includes('constant%3A5%3A30')")
    assert cells(shown, "figures") == before


@pytest.mark.long
def test_a_figure_that_did_not_change_is_not_drawn_again(shown: Browser, explorer: Explorer) -> None:
    """Another SLA moves its line; the load is the same."""
    shown.size(WIDE, ALL)
    visit(shown, explorer, SHORT)
    shown.until("document.querySelectorAll('#plot-distribution .main-svg').length > 0")
    shown.run("""{
      const react = Plotly.react;
      window.drawn = [];
      Plotly.react = (plot, ...rest) => { drawn.push(plot.id); return react(plot, ...rest); };
    }""")
    enter(shown, "sla_s", "3")
    answered(shown, "sla_s=3")
    shown.until("drawn.includes('plot-latency') && drawn.includes('plot-distribution')")
    assert "plot-load" not in shown.run("drawn")


def test_a_wrong_value_is_said_where_it_stands_and_old_figures_go(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    title, table = text(shown, "h1"), cells(shown, "figures")
    enter(shown, "sla_s", "-1")
    shown.until("!document.getElementById('problem').hidden")
    assert text(shown, "#problem") == "sla_s: should be above 0; given -1"
    assert shown.run("document.querySelector('.wrong [aria-invalid]').value") == "-1"
    assert text(shown, "h1") == "No answer"
    assert text(shown, "#subtitle") == ""
    assert shown.run(_ANSWER) == []
    enter(shown, "sla_s", "")
    shown.until("document.getElementById('problem').hidden")
    assert shown.run(_ANSWER) == ["merit", "plots", "inside", "plan", "ways"]
    assert (text(shown, "h1"), cells(shown, "figures")) == (title, table)
    assert not shown.run("!!document.querySelector('.wrong')")


_ANSWER = "['merit', 'plots', 'inside', 'plan', 'ways'].filter(id => document.getElementById(id).checkVisibility())"


@pytest.mark.long
def test_a_run_without_records_is_not_drawn_inside_as_the_one_before(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    click(shown, "#inside summary")
    shown.until("document.querySelectorAll('#network .stage').length === 2")
    enter(shown, "records", "none")
    answered(shown, "records=none")
    shown.until("document.querySelectorAll('#network .stage').length === 0")
    assert "records" in text(shown, "#decided")


@pytest.mark.long
def test_an_unknown_key_of_the_address_is_said_and_the_rest_is_answered(shown: Browser, explorer: Explorer) -> None:
    """No control shows such a key, so it could not be mended in the page either; nor could one of a pin."""
    visit(shown, explorer, f"{SHORT}&policies=ipa&sla_s=3&pipeline=nlp&pin=from%3Dvideo%26foo%3D1")
    said = text(shown, "#problem").splitlines()
    assert said[0].startswith("pipeline: should not be among the values")
    assert said[1].startswith("Not pinned: foo: unknown key; allowed: schema_version, ")
    assert said[2] == refusal("simulate", "video", "--set", "policies=ipa")
    assert text(shown, "h1") == "video on constant:5: policy ipa"
    assert "--set sla_s=3" in text(shown, "#ways pre")
    enter(shown, "scale", "2")
    answered(shown, "scale=2")
    assert shown.run("document.getElementById('problem').hidden")
    shown.until("location.hash.includes('scale=2')")
    assert "policies" not in shown.run("location.hash")


@pytest.mark.long
def test_without_any_answer_the_title_says_so(shown: Browser, explorer: Explorer) -> None:
    shown.call("Page.navigate", url="about:blank")
    shown.call("Page.navigate", url=explorer.address() + "#from=vidoe")
    shown.until("document.querySelector('#problem')?.textContent")
    assert text(shown, "#problem") == refusal("simulate", "vidoe")
    assert text(shown, "h1") == "No answer"


def test_policies_are_added_changed_by_their_parameters_and_removed(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    click(shown, "#add-policy")
    enter(shown, "Policy 2", "rate")
    answered(shown, "policy=ipa&policy=rate")
    enter(shown, "alpha", "5")
    answered(shown, "policy=ipa+alpha%3D5")
    assert [row[0] for row in cells(shown, "figures")] == ["policy", "ipa alpha=5", "rate"]
    click(shown, ".policy:last-child button")
    shown.until("document.querySelectorAll('#figures tbody tr').length === 1")
    assert [row[0] for row in cells(shown, "figures")] == ["policy", "ipa alpha=5"]


def variant(shown: Browser, key: str, stage: str, name: str, text: str) -> None:
    """Set what the control of a key says of one variant of a stage."""
    shown.run(f"""{{
      const found = (where, kind, name) =>
        [...where.querySelectorAll(kind)].find(each => each.textContent.startsWith(name));
      const control = found(document, ".control", "{key} "), stage = found(control, "fieldset", "{stage}");
      const label = found(stage, "label", "{name} ");
      const input = document.getElementById(label.htmlFor);
      input.value = "{text}";
      input.dispatchEvent(new Event("change", {{bubbles: true}}));
    }}""")


def test_one_variant_is_twice_as_fast_and_one_is_left_out(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    before = exact(shown)
    variant(shown, "profile_factors", "object-detection", "yolov5s", "0.5")
    answered(shown, "profile_factors=")
    variant(shown, "limits.ruled_out", "image-classification", "resnet101", "left out")
    answered(shown, "ruled_out=")
    assert exact(shown) != before
    words = shlex.split(text(shown, "#ways pre"))
    assert 'profile_factors={"object-detection":{"yolov5s":0.5}}' in words
    assert 'limits.ruled_out={"image-classification":["resnet101"]}' in words
    printed = answer(*words[1:], "--json", "--quiet")
    assert [float(each) for each in exact(shown)[:2]] == [printed["pas_mean"], printed["cost_mean_cores"]]
    variant(shown, "profile_factors", "object-detection", "yolov5s", "fast")
    shown.until("!document.getElementById('problem').hidden")
    assert "profile_factors.object-detection.yolov5s" in text(shown, "#problem")
    assert "profile_factors" in text(shown, ".control.wrong label")
    variant(shown, "profile_factors", "object-detection", "yolov5s", "")
    variant(shown, "limits.ruled_out", "image-classification", "resnet101", "")
    shown.until("!document.body.dataset.answered.includes('yolov5s') && document.getElementById('problem').hidden")
    shown.until("!document.body.dataset.answered.includes('resnet101')")
    assert exact(shown) == before


def test_names_are_text_and_never_html(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, SHORT)
    shown.size(WIDE, ALL)
    enter(shown, "Policy 1", 'rate label="<img src=x onerror=errors.push(1)>"')
    answered(shown, "label")
    shown.until("document.getElementById('plot-cores').textContent.includes('<img src=x onerror=errors.push(1)>')")
    assert cells(shown, "figures")[1][0] == "<img src=x onerror=errors.push(1)>"
    assert shown.run("document.querySelectorAll('#answer img').length") == 0


@pytest.mark.long
def test_two_tabs_do_not_end_each_others_questions(shown: Browser, explorer: Explorer) -> None:
    """A second page in the same browser asks at the same time."""
    visit(shown, explorer, SHORT)
    shown.call("Runtime.evaluate", expression="window.other = open(location.href)", userGesture=True)
    shown.until("other.document.body?.dataset.answered")
    enter(shown, "scale", "2")
    enter(shown, "sla_s", "3", "other.document")
    answered(shown, "scale=2")
    shown.until("other.document.body.dataset.answered.includes('sla_s=3')")
    assert "scale" not in shown.run("other.document.body.dataset.answered")
    shown.run("other.close()")


@pytest.fixture
def unreachable(shown: Browser) -> Iterator[Callable[[], object]]:
    """What makes every server one that has ended, for the rest of the test."""
    any_speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    shown.call("Network.enable")
    yield lambda: shown.call("Network.emulateNetworkConditions", offline=True, **any_speed)
    shown.call("Network.emulateNetworkConditions", offline=False, **any_speed)
    shown.call("Network.disable")


@pytest.mark.long
def test_a_server_that_has_ended_is_said_and_old_figures_go(
    shown: Browser, explorer: Explorer, unreachable: Callable[[], object]
) -> None:
    visit(shown, explorer, SHORT)
    unreachable()
    enter(shown, "scale", "2")
    shown.until("!document.getElementById('problem').hidden")
    assert text(shown, "#problem") == "The server has ended: start ipa explore again."
    assert shown.run(_ANSWER) == []


def saved(shown: Browser, button: str) -> bytes:
    """The file that a button gives."""
    found = shown.run(f"""new Promise(done => {{
      const make = URL.createObjectURL;
      URL.createObjectURL = blob => {{
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.readAsDataURL(blob);
        URL.createObjectURL = make;
        return make(blob);
      }};
      document.getElementById("{button}").click();
    }})""")
    return b64decode(found.partition(",")[2])


@pytest.mark.long
def test_report_and_parquet_are_those_of_the_command(shown: Browser, explorer: Explorer, tmp_path: Path) -> None:
    visit(shown, explorer, f"{SHORT}&policy=ipa&policy=rate&seeds=2")
    command = shlex.split(text(shown, "#ways pre"))[1:]
    kept = ("--out", tmp_path / "out", "--report", tmp_path / "report.html")
    answer(*command, "--quiet", "--json", *kept)
    assert saved(shown, "report") == (tmp_path / "report.html").read_bytes()
    (tmp_path / "mine.parquet").write_bytes(saved(shown, "table"))
    mine, theirs = (pd.read_parquet(tmp_path / name) for name in ("mine.parquet", "out/runs.parquet"))
    pd.testing.assert_frame_equal(mine, theirs, check_exact=True)


@pytest.mark.long
def test_a_report_without_records_is_refused(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, f"{SHORT}&records=none")
    click(shown, "#report")
    shown.until("!document.getElementById('problem').hidden")
    assert "records" in text(shown, "#problem")


@pytest.mark.long
def test_the_table_is_taken_along_to_the_last_digit(shown: Browser, explorer: Explorer) -> None:
    visit(shown, explorer, f"{SHORT}&policy=rate&seeds=2")
    head, *rows = csv.reader(saved(shown, "csv").decode().splitlines())
    runs = [dict(zip(head, row, strict=True)) for row in rows]
    printed = answer("compare", "video", "--trace", "constant:5:30", "--policy", "rate", "--seeds", 2, "--json")
    assert [float(run["cost_mean_cores"]) for run in runs] == [each["cost_mean_cores"] for each in printed]
    assert [json.loads(run["stage_accuracy_mean"]) for run in runs] == [each["stage_accuracy_mean"] for each in printed]
    assert list(printed[0]) == head


@pytest.mark.long
def test_every_control_has_a_name_and_is_reached_by_the_keyboard(shown: Browser, explorer: Explorer) -> None:
    shown.size(WIDE, ALL)  # a figure that comes into view brings its buttons
    visit(shown, explorer, SHORT)
    shown.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    shown.until("document.querySelectorAll('.plot').length === 9")
    shown.until("[...document.querySelectorAll('.plot')].every(each => each.querySelector('.main-svg'))")
    unnamed = """[...document.querySelectorAll('input, select, button, summary, [tabindex]')].filter(each =>
      !(each.labels?.length || each.getAttribute('aria-label') || each.textContent.trim()))"""
    assert shown.run(f"{unnamed}.length") == 0
    assert shown.run('document.querySelectorAll(\'[tabindex="-1"], [id=""]\').length') == 0
    seen: set[Any] = set()
    for _ in range(400):
        for kind in ("keyDown", "keyUp"):
            shown.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        if (place := shown.run(_FOCUSED)) in seen:
            break
        seen.add(place)
    wanted = shown.run(
        f"[...document.querySelectorAll({json.dumps(_REACHABLE)})].filter(e => e.checkVisibility()).length"
    )
    assert len(seen) >= wanted
    assert shown.run("getComputedStyle(document.activeElement).outlineStyle") != "none"


_REACHABLE = "input, select, button, summary, a[href]"
_FOCUSED = (
    f"[...document.querySelectorAll({json.dumps(_REACHABLE + ', [tabindex], body')})].indexOf(document.activeElement)"
)


@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (NARROW, True)])
def test_no_page_scrolls_sideways_and_nothing_is_pale(
    shown: Browser, explorer: Explorer, width: int, dark: bool
) -> None:
    """No width depends on the theme, and no colour on the width."""
    shown.size(width, 900)
    shown.theme(dark=dark)
    visit(shown, explorer, f"{SHORT}&policy=ipa&policy=rate&seeds=2")
    assert shown.run("document.documentElement.scrollWidth") <= width
    assert shown.run(_CONTRAST) >= 4.5
    shown.run("document.getElementById('plot-load').scrollIntoView()")
    shown.until("document.querySelector('#plot-load .main-svg')")
    background = shown.run("document.querySelector('#plot-load .main-svg').style.background")
    assert (background == "rgb(255, 255, 255)") is not dark


_CONTRAST = """{
  const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(part => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const back = light(getComputedStyle(document.body).backgroundColor);
  const texts = [...document.querySelectorAll("h1, h2, p, label, small, td, th, li, a, button, summary")];
  const colours = texts.filter(each => each.innerText).map(each => light(getComputedStyle(each).color));
  Math.min(...colours.map(colour => Math.max(colour, back) / Math.min(colour, back)));
}"""


@pytest.mark.long
def test_a_telephone_begins_with_what_to_take_and_the_plane(shown: Browser, explorer: Explorer) -> None:
    """On 390 by 844 pixels, both are in view; the question is folded above them, and no table is cut."""
    shown.size(NARROW, 844)
    visit(shown, explorer, "&".join(["from=video&trace=constant%3A5%3A60", *(f"policy={each}" for each in BASELINES)]))
    shown.until("document.querySelector('#plot-plane .main-svg')")
    bottoms = "['take', 'plot-plane'].map(id => document.getElementById(id).getBoundingClientRect().bottom)"
    take, plane = shown.run(bottoms)
    assert 0 < take < plane <= 844
    assert not shown.run("document.getElementById('asking').open")
    assert not shown.run("(box => box.scrollWidth > box.clientWidth)(document.getElementById('figures'))")
    click(shown, "#asking > summary")
    assert shown.run("document.getElementById('asked').checkVisibility()")
    shown.size(WIDE, 844)
    shown.until("document.getElementById('asking').open")


@pytest.mark.long
def test_a_thousand_changes_in_a_row_leave_no_memory_behind(shown: Browser, explorer: Explorer) -> None:
    """After the first hundred, which fill what is kept, the page's heap and nodes stay as they are."""
    visit(shown, explorer, SHORT)

    def used() -> tuple[float, float]:
        shown.call("HeapProfiler.collectGarbage")
        counted = shown.call("Memory.getDOMCounters")
        return shown.call("Runtime.getHeapUsage")["usedSize"], counted["nodes"]

    for change in range(1000):
        if change == 100:
            heap, nodes = used()
        enter(shown, "hop_s", str(change / 1e5 + 1e-6))
        answered(shown, f"hop_s={change / 1e5 + 1e-6}")
    now, nodes_now = used()
    assert now < 1.3 * heap
    assert nodes_now < 1.3 * nodes
    assert len(shown.run("JSON.parse(sessionStorage.getItem('history'))")) == 100
    assert len(explorer._newest) <= 64
