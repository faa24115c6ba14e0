"""The plan of a profile, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ipa import profiles
from ipa.live import profiling
from ipa.live.profiling import Effort, ModelFolder, Target
from ipa.profiles import Edge, Pipeline
from ipa.studies.scenario import ScenarioError

Shapes = Mapping[str, Sequence[tuple[int, ...]]]


@dataclass(frozen=True)
class Plan:
    """A profile to make: its targets, numbers of cores, batch sizes and numbers of neighbours.

    `pipeline` is the one whose file gets the figures, None for a new file; `source` is its name or file, `to` the file
    to write, `record` the file of the measurements. `every_s`: the time between samples; None: unknown.
    """

    name: str
    targets: tuple[Target, ...]
    cores: tuple[int, ...]
    batches: tuple[int, ...]
    neighbours: tuple[int, ...]
    effort: Effort
    to: Path
    pipeline: Pipeline | None = None
    source: str = ""
    every_s: float | None = None

    def edges_from(self, stage: str) -> list[Edge]:
        """The edges from a stage that depend on its models' outputs."""
        return profiling.edges_from(self.pipeline, stage)

    @property
    def record(self) -> Path:
        """The file with the measurements."""
        return self.to.with_suffix(".measurements.jsonl")

    def most_s(self, stage: str) -> float | None:
        """The SLA [s] of a stage if it is pinned, else None; slower batches are of no use."""
        if self.pipeline is None:
            return None
        found = self.pipeline.stage(stage)
        return found.sla_s if found.sla_why else None

    def asked(self) -> dict[str, Any]:
        """What the measurements depend on, except cores and batch sizes, to which more may be added later."""
        return {
            "models": {f"{each.stage}/{each.variant}": each.url or _digest(each.folder) for each in self.targets},
            "samples": {f"{each.stage}/{each.variant}": _digest(each.samples) for each in self.targets if each.samples},
            "shapes": {name: [list(one) for one in given] for name, given in (self.targets[0].shapes or {}).items()},
            "within": self.effort.within,
            "longest_s": self.effort.longest_s,
            "seed": self.effort.seed,
            "machine": str(profiling.this_machine()),
        }


@dataclass(frozen=True)
class Asked:
    """The request for a profile: `models` in a folder or at a `server`, of some stages and variants (none: all)."""

    models: Path | None
    server: str
    stages: Sequence[str]
    variants: Sequence[str]
    cores: Sequence[int]
    batches: Sequence[int]
    neighbours: Sequence[int]
    samples: Path | None
    shapes: Shapes
    effort: Effort
    to: Path | None
    in_place: bool
    every_s: float | None = None


def make(what: str, asked: Asked) -> Plan:
    """The plan for a pipeline (name or file) or a model folder.

    Raises ScenarioError, LiveError or ProfileError for a request that cannot be carried out.
    """
    if 1 not in asked.batches:
        raise ScenarioError("--batches: 1 is missing, which every variant needs")
    if asked.to is not None and asked.in_place:
        raise ScenarioError("--to and --in-place: give one of them")
    _check_cores(asked.cores, asked.server, asked.neighbours)
    pipeline, name, targets = _found(what, asked.models, asked.server, asked.stages, asked.variants)
    if not targets:
        raise ScenarioError(f"{what}: no such variant: {', '.join(asked.variants)}")
    targets = [replace(each, shapes=asked.shapes, samples=asked.samples or each.samples) for each in targets]
    if pipeline is not None:
        _check_pinned(pipeline, targets, asked.cores)
    if asked.in_place and (pipeline is None or not Path(what).is_file()):
        raise ScenarioError(f"--in-place: {what} is no pipeline file of yours; use --to FILE")
    beside = Path(f"{name}.yaml") if pipeline is None else _beside(what, name)
    path = Path(what) if asked.in_place else asked.to or beside
    if path.suffix not in (".yaml", ".yml"):
        raise ScenarioError(f"--to {path}: should end in .yaml")
    cores, batches, neighbours = (tuple(sorted(set(each))) for each in (asked.cores, asked.batches, asked.neighbours))
    source = what if pipeline is not None else ""
    kept = (asked.effort, path, pipeline, source, asked.every_s)
    return Plan(name, tuple(targets), cores, batches, neighbours, *kept)


def _beside(what: str, name: str) -> Path:
    path = Path(what)
    return path.with_name(f"{path.stem}.profiled.yaml") if path.is_file() else Path(f"{name}.profiled.yaml")


def _found(
    what: str, models: Path | None, server: str, stages: Sequence[str], variants: Sequence[str]
) -> tuple[Pipeline | None, str, list[Target]]:
    """The pipeline, its name, and the requested variants, in the pipeline's order."""
    if Path(what).is_dir() and what not in profiles.names():
        if models is not None or server:
            raise ScenarioError(f"{what}: is a folder of models; --models and --server go with a pipeline")
        return None, *_in_folder(Path(what), stages, variants)
    if server and len(stages) == 1 and variants and not Path(what).exists() and Path(what).suffix:
        return None, profiles.slug(Path(what).stem), [Target(stages[0], each, url=server) for each in variants]
    pipeline = profiles.load(what)
    if models is not None and server:
        raise ScenarioError("--models and --server: give one of them")
    if models is None and not server:
        raise ScenarioError(f"{what}: say where its models are: --models FOLDER, or --server URL")
    if models is not None and not models.is_dir():
        raise ScenarioError(f"--models {models}: no such folder")
    chosen = [pipeline.stage(each) for each in stages] or pipeline.stages
    wanted = [each for each in pipeline.stages if each in chosen]
    if len(wanted) == 1:
        for each in variants:
            wanted[0].variant(each)
    pairs = [(s.name, v.name) for s in wanted for v in s.variants if not variants or v.name in variants]
    if models is None:
        return pipeline, pipeline.name, [Target(*each, url=server) for each in pairs]
    return pipeline, pipeline.name, targets_of(pipeline, models, pairs)


def targets_of(pipeline: Pipeline, models: Path, pairs: Sequence[tuple[str, str]]) -> list[Target]:
    """The targets of variants, (stage, name), whose models are in a folder. Raises LiveError for a missing one."""
    return [_target(profiling.variant_folder(models, pipeline.name, *each)) for each in pairs]


def _in_folder(root: Path, stages: Sequence[str], variants: Sequence[str]) -> tuple[str, list[Target]]:
    """The name of the pipeline whose models a folder holds, and the requested models, stage by stage."""
    folders = profiling.model_folders(root)
    pipelines, held = ({getattr(each, key): None for each in folders} for key in ("pipeline", "stage"))
    if len(pipelines) > 1:
        raise ScenarioError(f"{root}: holds the models of {', '.join(pipelines)}: give the folder of one of them")
    if len(held) > 1 and not stages:
        raise ScenarioError(
            f"{root}: in which order do requests pass the stages {', '.join(held)}? Give all that there are in that "
            f"order, as in --stages {','.join(held)}, or a pipeline file: FILE --models {root}"
        )
    order = list(stages or held)
    wanted = [each for each in folders if each.stage in order and (not variants or each.variant in variants)]
    if not wanted or not held.keys() >= set(order):
        raise ScenarioError(
            f"{root}: holds no such stage or variant; it holds {', '.join(f'{f.stage}/{f.variant}' for f in folders)}"
        )
    name = root.absolute().parent.name if folders[0].path == root.absolute() else root.absolute().name
    wanted.sort(key=lambda each: order.index(each.stage))
    return profiles.slug(folders[0].pipeline or name), list(map(_target, wanted))


def _target(folder: ModelFolder) -> Target:
    return Target(folder.stage, folder.variant, folder.path, samples=folder.samples)


def _check_cores(cores: Sequence[int], server: str, neighbours: Sequence[int]) -> None:
    if server:
        if len(set(cores)) != 1:
            raise ScenarioError("--cores: say how many the server has, which the profiler does not change: one number")
        if neighbours:
            raise ScenarioError("--neighbours: another's server has none; only models in a folder can be so measured")
        return
    there = len(profiling.usable_cores())
    if max(cores) > there:
        raise ScenarioError(f"--cores {max(cores)}: this machine has {there}")


def _check_pinned(pipeline: Pipeline, targets: Sequence[Target], cores: Sequence[int]) -> None:
    for each in targets:
        variant = pipeline.stage(each.stage).variant(each.variant)
        if variant.base_cores_why and variant.base_cores not in cores:
            raise ScenarioError(
                f"--cores {','.join(map(str, cores))}: {each.variant} has its base cores pinned to "
                f"{variant.base_cores}, which would no longer be profiled: add them, or write `base_cores: rule`"
            )


def _digest(path: Path | None) -> str:
    """sha256 of a file, or of the files of a folder, with their names; empty for None."""
    if path is None:
        return ""
    digest = sha256()
    for file in [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file()):
        if "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(path.parent)}\n".encode())
            digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()
