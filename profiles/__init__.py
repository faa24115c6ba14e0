"""Pipelines: stages, variants and their latency profiles; the shipped pipelines.

catalogue   finds and loads pipelines by name or path · library/: the shipped files
pipeline    the frozen values · published: what a publication says of a pipeline
figures     a variant's profile: laws and look-up tables · rules: the published SLAs and base cores
schema      what a pipeline file holds · fields: its recurring parts
yaml_file   any YAML file with line numbers, validated · errors: the error, and the nearest right name
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
