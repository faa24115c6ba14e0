"""Pipelines: stages, variants and their latency profiles; the shipped pipelines.

`catalogue` finds and loads them; `pipeline` and `published` have the frozen values, `figures` the
profile of a variant with its laws and look-up tables, `rules` the published SLAs and base cores.
`schema` and `fields` say what a pipeline file holds; `yaml_file` reads any YAML file and answers
mistakes by line; `library/` has the shipped files. pydantic and PyYAML are imported with a file.
"""

from ipa.profiles.catalogue import json_schema, load, names, text
from ipa.profiles.errors import ProfileError
from ipa.profiles.figures import Figure
from ipa.profiles.pipeline import Pipeline, Stage, Variant
from ipa.profiles.published import Provenance, Published

__all__ = [
    "Figure",
    "Pipeline",
    "ProfileError",
    "Provenance",
    "Published",
    "Stage",
    "Variant",
    "json_schema",
    "load",
    "names",
    "text",
]
