"""Pipelines: stages, variants and their latency profiles; the shipped pipelines.

catalogue   finds and loads pipelines by name or path · library/: the shipped files
pipeline    the frozen values · stage: of a stage and its variants · figures: of a variant's profile, and their laws
limits      what a real cluster allows of a pipeline
rules       SLAs and base cores by rule · defaults: what policies use · default_rules: where a file does not say it
pairs       accuracies that two variants reach together
schema      what a pipeline file holds · fields: its recurring parts
profiled    profiled figures written into the text of a pipeline file
latencies   CSV tables of measurements · foreign: those of other tools · csv_table: any such table
pipeline_text  the pipeline file made from them
yaml_file   any YAML file with line numbers, validated · errors: the error, and the nearest right name
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
