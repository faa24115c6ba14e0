"""The example notebooks run from top to bottom, and whatever a cell ends with can be shown."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from ipa.studies.many import workers

pytest.importorskip("plotly")

NOTEBOOKS = sorted((Path(__file__).parents[3] / "studies" / "examples").glob("*.ipynb"))


def execute(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: `%%writefile NAME` writes a file; the value of a last expression comes back."""
    if cell.startswith("%%writefile "):
        name, _, text = cell.removeprefix("%%writefile ").partition("\n")
        Path(name).write_text(text, encoding="utf-8")
        return None
    tree = ast.parse(cell)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    return None if not isinstance(last, ast.Expr) else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def shown(value: Any) -> str:
    """What a notebook shows of a value."""
    draw = getattr(value, "_repr_html_", None)
    return repr(value) if draw is None else draw()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Forking under a test runner's threads is a warning on newer Pythons.
    monkeypatch.setattr(workers, "cores", lambda: 1)
    cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "notebook"}
    values = [execute("".join(cell["source"]), names) for cell in cells]
    assert all(shown(value) for value in values if value is not None)
    said = capsys.readouterr().out
    if notebook.stem == "first_look":
        assert (tmp_path / "report.html").is_file()
    else:
        assert "aplha: unknown key; did you mean 'policy.alpha'?" in said


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook: Path) -> None:
    cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"] is not None] == []
