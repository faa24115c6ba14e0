"""Pipelines: stages, variants and their latency profiles; the shipped pipelines.

catalogue   finds and loads pipelines by name or path · library/: the shipped files
pipeline    the frozen values · stage: of a stage and its variants · figures: of a variant's profile, and their laws
rules       SLAs and base cores by rule · defaults: what policies use · default_rules: where a file does not say it
schema      what a pipeline file holds · fields: its recurring parts
latencies   a CSV table of measurements · csv_table: any such table · pipeline_text: the pipeline file made from it
yaml_file   any YAML file with line numbers, validated · errors: the error, and the nearest right name
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
