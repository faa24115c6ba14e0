"""Measured numbers in files of their own: of items on an edge, a CSV file with a column for each variant of the stage
before; and a pipeline's text with such numbers in it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ipa.profiles.csv_table import lines_of
from ipa.profiles.errors import ProfileError
from ipa.profiles.graph_laws import MOST_ITEMS

if TYPE_CHECKING:
    from ipa.profiles.pipeline import Pipeline


def read_counts(path: Path) -> dict[str, tuple[int, ...]]:
    """Variant -> its column, without empty cells. ProfileError for what is no such table."""
    lines = list(lines_of(path))
    if not lines:
        raise ProfileError(f"{path}: the file is empty")
    (first, header), *rows = lines
    numbers_by_column: dict[str, list[int]] = {name: [] for name in header}
    if not all(header):
        raise ProfileError(f"{path}:{first}: a column has no name: {','.join(header)}")
    if len(numbers_by_column) < len(header):
        raise ProfileError(f"{path}:{first}: two columns have one name: {','.join(header)}")
    for line, cells in rows:
        if len(cells) > len(header):
            raise ProfileError(f"{path}:{line}: has {len(cells)} cells under a header of {len(header)}")
        for name, cell in zip(header, cells, strict=False):
            if cell and not (re.fullmatch("[0-9]{1,9}", cell) and int(cell) <= MOST_ITEMS):
                allowed = f"should be a whole number from 0 to {MOST_ITEMS}"
                raise ProfileError(f"{path}:{line}: {name}: {allowed}; given {cell[:60]!r}")
            if cell:
                numbers_by_column[name].append(int(cell))
    for name, numbers in numbers_by_column.items():
        if not numbers:
            raise ProfileError(f"{path}: the column {name} is empty")
    return {name: tuple(numbers) for name, numbers in numbers_by_column.items()}


def with_tables(text: str, pipeline: Pipeline) -> str:
    """The text of a pipeline's file with the numbers themselves where it names files of them."""
    import yaml

    def value(mapping: yaml.Node | None, key: str) -> yaml.Node | None:
        items = mapping.value if isinstance(mapping, yaml.MappingNode) else ()
        return next((value for name, value in items if name.value == key), None)

    root = yaml.compose(text, Loader=yaml.BaseLoader)
    edges = iter(pipeline.graph.edges if pipeline.graph else ())
    replacements: list[tuple[yaml.Node, object]] = []
    stages = value(root, "stages")
    for stage in stages.value if stages else ():
        after, tokens = value(stage, "after"), value(stage, "tokens")
        for parent in after.value if after else ():
            counts = value(parent, "counts")
            edge = next(edges, None)
            if edge is not None and isinstance(counts, yaml.ScalarNode):
                replacements.append((counts, edge.counts))
        table, name = value(tokens, "table"), value(stage, "name")
        of_stage = pipeline.stage(name.value).tokens if isinstance(name, yaml.ScalarNode) else None
        if of_stage is not None and isinstance(table, yaml.ScalarNode):
            replacements.append((table, of_stage.pairs))
    for node, numbers in sorted(replacements, key=lambda change: -change[0].start_mark.index):
        text = text[: node.start_mark.index] + json.dumps(numbers) + text[node.end_mark.index :]
    return text
