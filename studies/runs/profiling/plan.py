"""The plan of a profile, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ipa import profiles
from ipa.live import profiling
from ipa.live.profiling import Effort, ModelFolder, Target
from ipa.live.serving import GGUF_FILE
from ipa.profiles import LanguageModel, Pipeline
from ipa.studies.scenario import ScenarioError

Shapes = Mapping[str, Sequence[tuple[int, ...]]]

Advance = Callable[[str], object]
"""Called after each measurement, made or skipped, with its description; empty if it was kept already."""

BATCHES, CORES = (1, 2, 4, 8), (1,)
"""Batch sizes and numbers of cores, unless others are asked for."""


@dataclass(frozen=True)
class ProfilingPlan:
    """A profile to make: its targets, numbers of cores and batch sizes.

    `pipeline` is the one whose file gets the figures, None for a new file; `source` is its name or file, `to` the file
    to write, `record` the file of the measurements.
    """

    name: str
    targets: tuple[Target, ...]
    cores: tuple[int, ...]
    batches: tuple[int, ...]
    effort: Effort
    to: Path
    pipeline: Pipeline | None = None
    source: str = ""

    @property
    def language_targets(self) -> tuple[Target, ...]:
        """Those that are language models, which are measured under loads instead of by batch size."""
        return tuple(target for target in self.targets if _language_model(self.pipeline, target))

    @property
    def batch_targets(self) -> tuple[Target, ...]:
        """The others."""
        return tuple(target for target in self.targets if not _language_model(self.pipeline, target))

    @property
    def record(self) -> Path:
        """The file with the measurements."""
        return self.to.with_suffix(".measurements.jsonl")

    def most_s(self, stage: str) -> float | None:
        """The SLA [s] of a stage if it is pinned, else None; slower batches are of no use."""
        if self.pipeline is None:
            return None
        owner = self.pipeline.stage(stage)
        return owner.sla_s if owner.sla_why else None

    def asked(self) -> dict[str, Any]:
        """What the measurements depend on, except cores and batch sizes, to which more may be added later."""
        return {
            "models": {
                f"{target.stage}/{target.variant}": target.url or _digest(target.folder) for target in self.targets
            },
            "samples": {
                f"{target.stage}/{target.variant}": _digest(target.samples) for target in self.targets if target.samples
            },
            "shapes": {name: [list(size) for size in shape] for name, shape in (self.targets[0].shapes or {}).items()},
            "language_models": {
                f"{target.stage}/{target.variant}": self._language_asked(target) for target in self.language_targets
            },
            "within": self.effort.within,
            "longest_s": self.effort.longest_s,
            "seed": self.effort.seed,
            "machine": str(profiling.this_machine()),
        }

    def _language_asked(self, target: Target) -> dict[str, Any]:
        assert self.pipeline is not None
        model, tokens = _language_model(self.pipeline, target), self.pipeline.stage(target.stage).tokens
        assert model is not None
        assert tokens is not None
        engine = {key: value for key, value in asdict(model).items() if key not in ("step", "gpu_cores")}
        laws = {"input_tokens": tokens.input, "output_tokens": tokens.output}
        return {**engine, **{key: [law.mean, law.p99] for key, law in laws.items()}}


@dataclass(frozen=True)
class AskedPoints:
    """The request for a profile: `models` in a folder or at a `server`, of some stages and variants (none: all).

    Without `cores` or `batches`: CORES, BATCHES.
    """

    models: Path | None
    server: str
    stages: Sequence[str]
    variants: Sequence[str]
    cores: Sequence[int]
    batches: Sequence[int]
    samples: Path | None
    shapes: Shapes
    effort: Effort
    to: Path | None
    in_place: bool


def make(name_or_path: str, options: AskedPoints) -> ProfilingPlan:
    """The plan for a pipeline (name or file) or a model folder.

    Raises ScenarioError, LiveError or ProfileError for a request that cannot be carried out.
    """
    batches, cores = options.batches or BATCHES, options.cores or CORES
    if 1 not in batches:
        raise ScenarioError("--batches: 1 is missing, which every variant needs")
    if options.to is not None and options.in_place:
        raise ScenarioError("--to and --in-place: give one of them")
    _check_cores(cores, options.server)
    pipeline, name, targets = _found(name_or_path, options.models, options.server, options.stages, options.variants)
    if not targets:
        raise ScenarioError(f"{name_or_path}: no such variant: {', '.join(options.variants)}")
    if all(_language_model(pipeline, target) for target in targets):
        _check_language_options(options)
    targets = [replace(target, shapes=options.shapes, samples=options.samples or target.samples) for target in targets]
    if pipeline is not None:
        _check_pinned(pipeline, targets, cores)
    if options.in_place and (pipeline is None or not Path(name_or_path).is_file()):
        raise ScenarioError(f"--in-place: {name_or_path} is no pipeline file of yours; use --to FILE")
    beside = Path(f"{name}.yaml") if pipeline is None else _beside(name_or_path, name)
    path = Path(name_or_path) if options.in_place else options.to or beside
    if path.suffix not in (".yaml", ".yml"):
        raise ScenarioError(f"--to {path}: should end in .yaml")
    cores, batches = (tuple(sorted(set(numbers))) for numbers in (cores, batches))
    source = name_or_path if pipeline is not None else ""
    rest = (options.effort, path, pipeline, source)
    return ProfilingPlan(name, tuple(targets), cores, batches, *rest)


def _beside(name_or_path: str, name: str) -> Path:
    path = Path(name_or_path)
    return path.with_name(f"{path.stem}.profiled.yaml") if path.is_file() else Path(f"{name}.profiled.yaml")


def _found(
    name_or_path: str, models: Path | None, server: str, stages: Sequence[str], variants: Sequence[str]
) -> tuple[Pipeline | None, str, list[Target]]:
    """The pipeline, its name, and the requested variants, in the pipeline's order."""
    if Path(name_or_path).is_dir() and name_or_path not in profiles.names():
        if models is not None or server:
            raise ScenarioError(f"{name_or_path}: is a folder of models; --models and --server go with a pipeline")
        return None, *_in_folder(Path(name_or_path), stages, variants)
    if server and len(stages) == 1 and variants and not Path(name_or_path).exists() and Path(name_or_path).suffix:
        return (
            None,
            profiles.slug(Path(name_or_path).stem),
            [Target(stages[0], variant, url=server) for variant in variants],
        )
    pipeline = profiles.load(name_or_path)
    if models is not None and server:
        raise ScenarioError("--models and --server: give one of them")
    if models is None and not server:
        raise ScenarioError(f"{name_or_path}: say where its models are: --models FOLDER, or --server URL")
    if models is not None and not models.is_dir():
        raise ScenarioError(f"--models {models}: no such folder")
    chosen = [pipeline.stage(stage_name) for stage_name in stages] or pipeline.stages
    chosen_stages = [stage for stage in pipeline.stages if stage in chosen]
    if len(chosen_stages) == 1:
        for variant in variants:
            chosen_stages[0].variant(variant)
    pairs = [(s.name, v.name) for s in chosen_stages for v in s.variants if not variants or v.name in variants]
    if models is None:
        return pipeline, pipeline.name, [Target(*pair, url=server) for pair in pairs]
    return pipeline, pipeline.name, targets_of(pipeline, models, pairs)


def targets_of(pipeline: Pipeline, models: Path, pairs: Sequence[tuple[str, str]]) -> list[Target]:
    """The targets of variants, (stage, name), whose models are in a folder. Raises LiveError for a missing one."""
    return [_target(profiling.variant_folder(models, pipeline.name, *pair)) for pair in pairs]


def _in_folder(root: Path, stages: Sequence[str], variants: Sequence[str]) -> tuple[str, list[Target]]:
    """The name of the pipeline whose models a folder holds, and the requested models, stage by stage."""
    folders = profiling.model_folders(root)
    pipelines, stage_names = ({getattr(folder, key): None for folder in folders} for key in ("pipeline", "stage"))
    if len(pipelines) > 1:
        raise ScenarioError(f"{root}: holds the models of {', '.join(pipelines)}: give the folder of one of them")
    if len(stage_names) > 1 and not stages:
        raise ScenarioError(
            f"{root}: in which order do requests pass the stages {', '.join(stage_names)}? Give all that "
            f"there are in that order, as in --stages {','.join(stage_names)}, or a pipeline file: FILE --models {root}"
        )
    for folder in folders:
        if (folder.path / GGUF_FILE).is_file():
            raise ScenarioError(
                f"{folder.path / GGUF_FILE}: is a language model, for which a pipeline file has to say its sequences, "
                f"blocks and tokens: FILE --models {root}"
            )
    order = list(stages or stage_names)
    chosen_folders = [
        folder for folder in folders if folder.stage in order and (not variants or folder.variant in variants)
    ]
    if not chosen_folders or not stage_names.keys() >= set(order):
        raise ScenarioError(
            f"{root}: holds no such stage or variant; it holds {', '.join(f'{f.stage}/{f.variant}' for f in folders)}"
        )
    name = root.absolute().parent.name if folders[0].path == root.absolute() else root.absolute().name
    chosen_folders.sort(key=lambda folder: order.index(folder.stage))
    return profiles.slug(folders[0].pipeline or name), list(map(_target, chosen_folders))


def _target(folder: ModelFolder) -> Target:
    return Target(folder.stage, folder.variant, folder.path, samples=folder.samples)


def _check_cores(cores: Sequence[int], server: str) -> None:
    if server:
        if len(set(cores)) != 1:
            raise ScenarioError("--cores: say how many the server has, which the profiler does not change: one number")
        return
    count = len(profiling.usable_cores())
    if max(cores) > count:
        raise ScenarioError(f"--cores {max(cores)}: this machine has {count}")


def _check_pinned(pipeline: Pipeline, targets: Sequence[Target], cores: Sequence[int]) -> None:
    for target in targets:
        variant = pipeline.stage(target.stage).variant(target.variant)
        if variant.language_model is not None:
            _check_cores((variant.language_model.cores,), target.url)
        elif variant.base_cores_why and variant.base_cores not in cores:
            raise ScenarioError(
                f"--cores {','.join(map(str, cores))}: {target.variant} has its base cores pinned to "
                f"{variant.base_cores}, which would no longer be profiled: add them, or write `base_cores: rule`"
            )


def _check_language_options(options: AskedPoints) -> None:
    """Raise ScenarioError for options that say nothing of language models, where all targets are such."""
    for option, value in (
        ("--batches", options.batches),
        ("--cores", options.cores),
        ("--samples", options.samples),
        ("--shape", options.shapes),
    ):
        if value:
            raise ScenarioError(
                f"{option}: is for models that serve batches; a language model is measured with the cores and tokens "
                "that the file has"
            )


def _language_model(pipeline: Pipeline | None, target: Target) -> LanguageModel | None:
    return None if pipeline is None else pipeline.stage(target.stage).variant(target.variant).language_model


def _digest(path: Path | None) -> str:
    """sha256 of a file, or of the files of a folder, with their names; empty for None."""
    if path is None:
        return ""
    digest = sha256()
    for file in [path] if path.is_file() else sorted(entry for entry in path.rglob("*") if entry.is_file()):
        if "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(path.parent)}\n".encode())
            digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()
