"""Training a predictor on a load: its samples, fit and calibration, and the card that describes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ipa.policies.predictors import LEVELS
from ipa.policies.predictors.trained import TREES as TREE_KIND
from ipa.policies.predictors.trained import TrainedModel, features, forward_pass, write_npz
from ipa.studies import results
from ipa.studies.many.predictor import samples
from ipa.studies.many.predictor.options import Recipe
from ipa.studies.many.predictor.samples import Set, TrainingSamples
from ipa.studies.scenario import ScenarioError, choices
from ipa.traces import Trace

KINDS = get_args(choices.Model)

EPOCHS = {"lstm": 30, "lstm-quantile": 60}
"""Passes of a network over its samples: exactly this many for the published one, at most for ours."""

TREES = 170
"""The most trees for each quantile."""

VALIDATION_SHARE = 1 / 7
"""The share of the seconds, at the end, that our models are not fitted on: 2 days of 14."""

TRAINED_S = 14 * 86_400
"""The published training part of a trace, its first 14 days."""

MOST_SAMPLES = 100_000
"""A load with fewer seconds than this has a sample every second; others every 10 s, as the published system does."""

SHORT_S = 6 * 3600
"""A shorter load has too short a validation part to calibrate with: all its parts are used in turn."""

CARD_VERSION = 1

_ROWS = 10_000


def train(trace: Trace, recipe: Recipe, on_step: Callable[[], object] = lambda: None) -> TrainedModel:
    """Train a model on the first `learnt_s` of a trace, or on all of it; the rest is for testing.

    The last seventh of these seconds is for validation and for calibrating the quantiles; the published network, which
    has a fixed number of epochs and no quantiles, is trained on it too. In a load below `SHORT_S` it is too short for
    calibration: each part of the load then calibrates with a model trained on the rest (cross-conformal, Vovk, 2015).

    The same trace and seed give the same trees, and the same network on the same machine. `on_step` is called after
    each of at most `steps(kind, epochs)` parts of the work. Raises ScenarioError if the trace is too short, or a
    training library is not installed.
    """
    kind, seed = recipe.kind, recipe.seed
    every = trace.per_second()
    counts = every[: recipe.learnt_s]
    every_s = features.WINDOW_S if len(counts) >= MOST_SAMPLES else 1
    horizons = 1 if kind == "lstm" else len(samples.HORIZONS_S)
    border = round(len(counts) * (1 - VALIDATION_SHARE))
    ends_s = {"training": len(counts)} if kind == "lstm" else {"training": border, "validation": len(counts)}
    if len(every) > len(counts):
        ends_s["test"] = len(every)
    parts = samples.split(every, every_s, np.random.default_rng(seed), horizons, ends_s)
    rng = np.random.default_rng([seed, 1])
    training = _learnt(parts["training"], recipe, rng)
    scored = {name: samples.set_of(part, kind) for name, part in parts.items() if len(part) and name != "training"}
    if kind == "lstm":
        scored = {"training": training, **scored}
    card = _card(trace, recipe, every_s, ends_s)
    card |= {"samples": {name: len(part) for name, part in parts.items()}, "thinned_by": list(recipe.thinned_by)}
    model = _fitted(recipe, training, scored.get("validation"), card, on_step)
    if model.levels and len(counts) < SHORT_S:
        errors = []
        for rest, *others in samples.folds(counts, every_s, np.random.default_rng(seed), horizons):
            learnt, (stop, part) = _learnt(rest, recipe, rng), (samples.set_of(fold, kind) for fold in others)
            errors.append(_errors(_fitted(recipe, learnt, stop, card), part))
    else:
        errors = [_errors(model, scored["training" if kind == "lstm" else "validation"])]
    shift = _shift(np.concatenate(errors), model.levels, every_s)
    offset = "baseline" if kind == TREE_KIND else "dense_bias"
    model = replace(model, arrays={**model.arrays, offset: model.arrays[offset] + shift})
    model = replace(model, card={**model.card, **{name: _scores(model, part) for name, part in scored.items()}})
    return model


def _learnt(training: TrainingSamples, recipe: Recipe, rng: np.random.Generator) -> Set:
    """The training set: the samples, and half as many of thinned loads, equally many for each factor."""
    factors = recipe.thinned_by
    thinned = [samples.thinned(training, factor, 2 * len(factors), rng) for factor in factors]
    return samples.joined([samples.set_of(part, recipe.kind) for part in (training, *thinned)])


def _fitted(
    recipe: Recipe,
    training: Set,
    validation: Set | None,
    card: dict[str, Any],
    on_step: Callable[[], object] = lambda: None,
) -> TrainedModel:
    """A model before calibration."""
    kind, seed = recipe.kind, recipe.seed
    levels = () if kind == "lstm" else LEVELS
    if kind == TREE_KIND:
        arrays = _fitter("fit_trees").fit(training, validation, levels, seed, TREES, on_step)
        return TrainedModel(kind, arrays, {**card, "fit": {"trees": TREES}}, "the trained model")
    fitted = _fitter("fit_network").fit(training, validation, levels, seed, recipe.epochs or EPOCHS[kind], on_step)
    return TrainedModel(kind, fitted.arrays, {**card, "fit": fitted.recipe}, "the trained model")


def steps(kind: str, epochs: int | None = None) -> int:
    """The most calls of `on_step` in training."""
    return len(LEVELS) if kind == TREE_KIND else epochs or EPOCHS[kind]


def write(model: TrainedModel, to: Path) -> Path:
    """Write the model to an .npz file, and its card to a file beside it; returns the card's path."""
    card = card_of(to)
    with results.whole_file(to) as part:
        write_npz(model, part)
    results.write_text(json.dumps(model.card, indent=2) + "\n", card)
    return card


def card_of(model: Path) -> Path:
    """The file of a model's card."""
    return model.with_suffix(".card.json")


def check_target(kind: str, to: Path) -> None:
    """Raise ScenarioError if a model of a kind and its card cannot be written to this path as new files."""
    if to.suffix != ".npz":
        raise ScenarioError(f"--out {to}: a model of kind {kind} is written to .npz")
    for path in (to, card_of(to)):
        if path.exists():
            raise ScenarioError(f"--out {to}: {path} already exists; give another name")
    results.check_writable(to.parent, f"--out {to}")


def _fitter(module: str) -> Any:
    try:
        return import_module(f"ipa.studies.many.predictor.{module}")
    except ImportError as error:
        raise ScenarioError(f"training needs {error.name}: pip install '.[train]' in the checkout") from error


def _errors(model: TrainedModel, validation: Set) -> npt.NDArray[np.float64]:
    """Targets less the model's outputs, shape (samples, outputs)."""
    return np.asarray(validation.targets[:, None] - forward_pass(model)(validation.inputs))


def _shift(errors: npt.NDArray[np.float64], levels: tuple[float, ...], every_s: int) -> npt.NDArray[np.float64]:
    """The shift of each quantile that makes its level the share of the targets below it.

    This is split conformal calibration (Romano, Patterson and Candès, 2019): a level above the median takes the
    quantile of the n errors at (1 + 1 / n) x level, one below it the mirror image. Samples whose horizons overlap count
    as one. A point forecast is not shifted.
    """
    if not levels:
        return np.zeros(errors.shape[1])
    least = 1 / max(1, len(errors) * every_s // samples.HORIZONS_S[0])
    further = [max(level, 1 - level) * least * np.sign(level - 0.5) for level in levels]
    at = np.clip(np.add(levels, further), 0.0, 1.0)
    return np.array([np.quantile(errors[:, place], level) for place, level in enumerate(at)])


def _scores(model: TrainedModel, part: Set) -> dict[str, Any]:
    """The model's scores on a part, before its quantiles are sorted."""
    busiest, outputs = part.busiest_rps, forward_pass(model)
    answers = np.concatenate([outputs(part.inputs[at : at + _ROWS]) for at in range(0, len(part.inputs), _ROWS)])
    forecasts = np.maximum(part.level[:, None] + part.scale[:, None] * answers, 0.0)
    levels = model.levels or (0.5,)
    point = forecasts[:, levels.index(0.5)]
    sums = np.where(point + busiest > 0, point + busiest, 1.0)
    errors = busiest[:, None] - forecasts
    pinball = np.maximum(np.array(levels) * errors, (np.array(levels) - 1.0) * errors).mean(axis=0)
    scores: dict[str, Any] = {"smape_percent": round(float(200.0 * np.mean(abs(point - busiest) / sums)), 3)}
    if model.levels:
        scores["pinball_rps"] = {
            f"{level:g}": round(float(loss), 4) for level, loss in zip(levels, pinball, strict=True)
        }
    return scores


def _card(trace: Trace, recipe: Recipe, every_s: int, ends_s: Mapping[str, int]) -> dict[str, Any]:
    """The entries of a model's card that are known before training."""
    kind = recipe.kind
    parts = dict(zip(ends_s, map(list, pairwise((0, *ends_s.values()))), strict=True))
    return {
        "schema_version": CARD_VERSION,
        "kind": kind,
        "normalisation": "none" if kind == "lstm" else "deviation",
        **({} if kind == TREE_KIND else {"activation": "relu" if kind == "lstm" else "tanh"}),
        "levels": [] if kind == "lstm" else list(LEVELS),
        "horizons_s": sorted(samples.HORIZONS_S[:1] if kind == "lstm" else samples.HORIZONS_S),
        "data": {"name": Path(trace.name).name, "sha256": trace.sha256, "seconds": len(trace.per_second())},
        "split_s": {**parts, "every": every_s},
        "seed": recipe.seed,
        "command": recipe.command,
        "versions": results.versions_of(*_TRAINERS[kind]),
    }


_TRAINERS = {
    TREE_KIND: ("ipa-pipelines", "numpy", "scikit-learn"),
    "lstm": ("ipa-pipelines", "numpy", "keras", "jax"),
    "lstm-quantile": ("ipa-pipelines", "numpy", "keras", "jax"),
}
"""The packages that affect the result of training, by kind."""
