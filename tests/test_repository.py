"""What surrounds the code is true too: how to cite, contribute and report, and what was decided."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DECISIONS = sorted(path for path in (ROOT / "docs" / "decisions").glob("*.md") if path.name != "README.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def parsed(path: str) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


# ---- citing and reporting ----


def test_the_citation_is_of_this_version() -> None:
    citation = parsed("CITATION.cff")
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    for work in (citation, citation["preferred-citation"]):  # what the format requires
        assert work["title"]
        assert all(author["name"] for author in work["authors"])


def test_no_text_says_to_install_the_package_from_an_index_where_it_is_not() -> None:
    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("studies/examples/*")]
    texts += [
        path for folder in ("live", "policies", "sim", "studies", "traces") for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    named = re.compile(r"""pip install ['"]?ipa-pipelines|^ipa-pipelines""", re.MULTILINE)
    said = [path for path in texts if path.is_file() and path.name != "CHANGELOG.md"]
    assert not [path for path in said if named.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_have_what_a_form_needs(name: str) -> None:
    form = parsed(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"]
    assert form["description"]
    assert all(field["attributes"]["label"] for field in form["body"])
    assert len({field["id"] for field in form["body"]}) == len(form["body"])


def test_a_report_of_a_bug_asks_for_the_installation() -> None:
    labels = [field["attributes"]["label"] for field in parsed(".github/ISSUE_TEMPLATE/bug.yml")["body"]]
    assert "What `ipa doctor` prints" in labels


# ---- contributing ----


def test_the_hooks_of_a_commit_are_make_lint() -> None:
    (recipe,) = re.findall(r"^lint: install\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lint = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    (local,) = parsed(".pre-commit-config.yaml")["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == lint
    assert {hook["language"] for hook in local["hooks"]} == {"system"}  # nothing is downloaded


def test_the_first_contribution_passes_its_own_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^```python (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    policy = ModuleType("ipa.policies.waiting")
    monkeypatch.setitem(sys.modules, policy.__name__, policy)
    exec(compile(files["policies/waiting.py"], "CONTRIBUTING.md", "exec"), policy.__dict__)
    tests: dict[str, Any] = {"__name__": "test_waiting"}
    exec(compile(files["tests/policies/test_waiting.py"], "CONTRIBUTING.md", "exec"), tests)
    shown = [value for name, value in tests.items() if name.startswith("test_")]
    assert len(shown) == 3
    for test in shown:
        test()


# ---- decisions ----


def test_the_index_names_every_decision() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in DECISIONS} == set(re.findall(r"^\| \[(\S+)\]", index, re.MULTILINE))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_the_four_parts(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == ["Context", "Choice", "Alternatives", "Consequences"]
