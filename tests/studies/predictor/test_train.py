"""Training: what is learnt from, what comes of it, and that numpy computes what the trainers' libraries do."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ipa.policies import create_predictor
from ipa.policies.predictors import LEVELS
from ipa.policies.predictors.trained import SHAPES, TrainedModel, forward_pass, load
from ipa.studies import ScenarioError
from ipa.studies.many.predictor import KINDS, samples, train
from ipa.studies.many.predictor.options import Recipe
from ipa.studies.many.predictor.samples import TrainingSamples, folds, split, thinned
from ipa.studies.many.predictor.training import VALIDATION_SHARE, _shift
from ipa.traces import Trace, find
from tests.command import ipa, refusal
from tests.tiny import observation

needs_sklearn = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")
needs_keras = pytest.mark.skipif(
    find_spec("keras") is None or find_spec("jax") is None, reason="keras is not installed"
)


def samples_of(counts: np.ndarray, horizons: int = 4, every_s: int = 1) -> tuple[TrainingSamples, TrainingSamples]:
    border = round(len(counts) * (1 - VALIDATION_SHARE))
    parts = split(counts, every_s, np.random.default_rng(1), horizons, {"training": border, "validation": len(counts)})
    return parts["training"], parts["validation"]


# ---- samples ----


def test_targets_are_the_busiest_second_of_the_horizon_and_histories_end_before_it() -> None:
    """The load rises by one each second, so the busiest second is the last."""
    training, validation = samples_of(np.arange(3000))
    assert set(training.horizons_s.tolist()) == {10, 20, 40, 60}
    assert np.mean(training.horizons_s == 20) == pytest.approx(0.625, abs=0.05)
    assert (training.busiest_rps == training.ends + training.horizons_s - 1).all()
    newest = np.concatenate([windows[:, -1, -1] for windows in training.windows()])
    assert (newest == training.ends - 1).all()
    first = next(iter(validation.windows()))[0]
    assert (first[0, 0], first[-1, -1]) == (2571 - 120, 2570)  # its histories may reach back into the training part
    assert training.busiest_rps.max() <= 2570 < validation.busiest_rps.min()


def test_nothing_is_learnt_from_around_a_gap() -> None:
    """A minute without requests is a hole in the record, half a minute of them is a load."""
    counts = np.full(3000, 5)
    whole = len(samples_of(counts)[0])
    counts[1000:1030] = 0
    assert len(samples_of(counts)[0]) == whole
    counts[1000:1060] = 0
    training, _ = samples_of(counts)
    assert len(training) == whole - 120 - 60 - 60 + 1
    assert not any(1000 - 60 < end < 1060 + 120 for end in training.ends)


def test_a_thinned_load_has_every_so_many_th_request_and_keeps_its_moments() -> None:
    training, _ = samples_of(np.full(3000, 64))
    quarter = thinned(training, 4, 3, np.random.default_rng(1))
    assert quarter.ends.tolist() == training.ends[::3].tolist()
    assert quarter.horizons_s.tolist() == training.horizons_s[::3].tolist()
    assert quarter.counts.mean() == pytest.approx(16, abs=0.3)
    assert quarter.counts.var() == pytest.approx(64 * 0.25 * 0.75, rel=0.1)  # binomial


def test_a_load_that_is_too_short_is_refused() -> None:
    with pytest.raises(ScenarioError, match="1050 s gives 91 samples to validate with; at least 100 are needed"):
        samples_of(np.ones(1050, dtype=np.int64))
    with pytest.raises(ScenarioError, match="100 s gives 0 samples to train on"):
        samples_of(np.ones(100, dtype=np.int64))


def test_every_part_of_a_short_load_calibrates_models_that_have_not_learnt_from_it() -> None:
    counts = np.random.default_rng(2).poisson(30, size=3000)
    parts = list(folds(counts, 1, np.random.default_rng(1), 4))
    assert sorted(end for _, _, part in parts for end in part.ends) == list(range(120, 3000 - 60 + 1))
    assert len(parts) == 5
    for rest, stop, part in parts:
        assert min(len(rest), len(stop)) > 300
        assert not set(rest.ends) & set(stop.ends)
        used = np.concatenate([rest.ends, stop.ends])
        assert not any(part.ends[0] - 60 < end < part.ends[-1] + 60 for end in used)
        assert np.abs(used[:, None] - part.ends[[0, -1]]).min() > 120 + 60


def test_a_calibrated_quantile_lies_a_little_further_out_where_samples_are_few() -> None:
    """Errors of 0 to 100, one a second, are 5 horizons of 20 s: 0.75 and 0.25 become 0.9 and 0.1; of many, nothing."""
    few = np.tile(np.arange(101.0)[:, None], (1, 3))
    assert _shift(few, (0.25, 0.5, 0.75), 1) == pytest.approx([10, 50, 90])
    assert _shift(np.repeat(few, 1000, axis=0), (0.25, 0.5, 0.75), 20) == pytest.approx([25, 50, 75])
    assert _shift(few[:, :1], (), 1) == pytest.approx([0])


def test_every_kind_of_model_can_be_trained() -> None:
    assert tuple(SHAPES) == KINDS


def test_what_a_model_is_trained_to_answer_is_the_load() -> None:
    counts = np.random.default_rng(2).poisson(30, size=2000)
    training, _ = samples_of(counts)
    for kind in SHAPES:
        assert samples.set_of(training, kind).busiest_rps == pytest.approx(training.busiest_rps)


# ---- the command ----


def test_wrong_options_are_refused_before_anything_is_read(elsewhere: Path) -> None:
    def said(model: str, name: str, trace: str = "bursty") -> str:
        return refusal("predictor", "train", "--trace", trace, "--model", model, "--out", name)

    assert "a model of kind quantile-gbm is written to .npz" in said("quantile-gbm", "m.keras")
    assert "a model of kind lstm is written to .npz" in said("lstm", "m.pickle")
    assert "--out" in said("lstm", "m.h5", "gone.csv")
    for there, wanted in (("a.card.json", "a.npz"), ("b.npz", "b.npz")):
        Path(there).write_text("{}")
        assert f"--out {wanted}: {there} already exists; give another name" in said("lstm", wanted)
    assert "gone.csv" in said("lstm", "m.npz", "gone.csv")
    assert "100 s gives 0 samples to train on" in said("lstm", "m.npz", "constant:5:100")


def test_what_trains_may_not_be_installed(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    options = ("--trace", "bursty", "--model", "lstm", "--out", "m.npz")
    assert "training needs keras: pip install '.[train]' in the checkout" in refusal("predictor", "train", *options)


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.many.predictor.training.TREES", 3)


@needs_sklearn
def test_trees_are_trained_calibrated_and_written_with_their_card(
    tmp_path: Path, few_trees: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipa.studies.many.predictor.training.SHORT_S", 0)
    options = ("--trace", "bursty", "--model", "quantile-gbm", "--quiet")
    result = ipa("predictor", "train", *options, "--thin", 4, "--out", tmp_path / "m.npz")
    assert result.exit_code == 0, result.output
    model = load(str(tmp_path / "m.npz"))
    card = json.loads((tmp_path / "m.card.json").read_text())
    assert model.card == card
    assert card["command"] == "ipa predictor train --trace bursty --model quantile-gbm --out m.npz --seed 1 --thin 4"
    assert card["thinned_by"] == [4]
    assert card["data"]["seconds"] == 1200
    assert card["split_s"] == {"training": [0, 1029], "validation": [1029, 1200], "every": 1}
    assert f"validation: smape_percent {card['validation']['smape_percent']:g}" in result.output

    _, validation = samples_of(find("bursty", seed=1).per_second())
    given = samples.set_of(validation, "quantile-gbm")
    errors = given.targets[:, None] - forward_pass(model)(given.inputs)
    one = 1 / len(validation)
    further = np.array([-0.95, -0.9, -0.75, 0, 0.75, 0.9, 0.95, 0.99]) / (len(validation) // 20)
    levels = np.clip(np.array(LEVELS) + further, 0, 1)
    assert ((errors < -1e-9).mean(axis=0) <= levels + one).all()
    assert ((errors <= 1e-9).mean(axis=0) >= levels - one).all()
    predictor = create_predictor({"name": "quantile-gbm", "model": str(tmp_path / "m.npz")})
    assert 15 < predictor.forecast(observation([20.0, 24.0] * 60), 20.0).point_rps < 40


@needs_sklearn
def test_trained_on_the_thinned_load_too_a_model_knows_the_spread_of_a_smaller_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counts of 400 rps that hardly vary, as those of many equal clients; one in 40 requests is nearly Poisson."""
    for name, value in {"SHORT_S": 0, "TREES": 20, "LEVELS": (0.5, 0.95)}.items():
        monkeypatch.setattr(f"ipa.studies.many.predictor.training.{name}", value)
    rng = np.random.default_rng(5)
    large = Trace.of_counts("large", rng.integers(395, 405, size=4000))
    models = [train(large, Recipe("quantile-gbm", 1, "here", thinned_by=by)) for by in ((), (40,))]
    assert [model.card["thinned_by"] for model in models] == [[], [40]]
    given = samples.set_of(samples_of(rng.poisson(10, size=2000))[0], "quantile-gbm")
    exceeded = [(given.targets[:, None] > forward_pass(model)(given.inputs)).mean(axis=0)[1] for model in models]
    assert exceeded[1] < min(0.15, exceeded[0] / 2)


@needs_sklearn
def test_a_short_load_that_ends_calmly_is_not_forecast_calmly(few_trees: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last seventh is constant, and would tell that nothing ever varies; what came before does."""
    monkeypatch.setattr("ipa.studies.many.predictor.training.LEVELS", (0.5, 0.95))
    rng = np.random.default_rng(3)
    counts = np.concatenate([rng.poisson(30, size=3000), np.full(600, 30)])
    model = train(Trace.of_counts("calm", counts), Recipe("quantile-gbm", 1, "here"))
    noisy, _ = samples_of(rng.poisson(30, size=1500))
    given = samples.set_of(noisy, "quantile-gbm")
    exceeded = (given.targets[:, None] > forward_pass(model)(given.inputs)).mean(axis=0)
    assert exceeded[1] < 0.15


@needs_sklearn
def test_numpy_follows_trees_as_scikit_learn_does() -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    from ipa.studies.many.predictor import fit_trees

    training, validation = (
        samples.set_of(part, "quantile-gbm") for part in samples_of(np.random.default_rng(2).poisson(30, size=1500))
    )
    arrays = fit_trees.fit(training, validation, (0.5, 0.9), 1, 4, lambda: None)
    model = TrainedModel("quantile-gbm", arrays, {"normalisation": "deviation", "levels": [0.5, 0.9]}, "here")
    ours = forward_pass(model)(validation.inputs)
    for place, level in enumerate(model.levels):
        theirs = HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=4, early_stopping=False, random_state=1, **fit_trees.SETTINGS
        ).fit(training.inputs, training.targets)
        assert ours[:, place] == pytest.approx(theirs.predict(validation.inputs), abs=1e-6)


NETWORKS = """
import numpy as np
from ipa import studies
from ipa.studies.commands import main
from ipa.studies.many.predictor import fit_network, training
training.SHORT_S = 0
networks, sequential = [], fit_network.keras.Sequential
fit_network.keras.Sequential = lambda layers: networks.append(sequential(layers)) or networks[-1]
for kind, name in (("lstm", "one.npz"), ("lstm-quantile", "many.npz")):
    studies.many.predictor.TRAINED_S = 1000 if kind == "lstm" else 1200
    options = ["--trace", "bursty", "--model", kind, "--out", name, "--epochs", "2", "--quiet"]
    main(["predictor", "train", *options], standalone_mode=False)
inputs = np.random.default_rng(1).normal(1.0, 0.5, size=(20, 12, 6))
given = {}
for name, features, network in (("one", 1, networks[0]), ("many", 6, networks[1])):
    given[name] = np.asarray(network(inputs[:, :, :features].astype(np.float32)))
np.savez("outputs.npz", inputs=inputs, **given)
"""


@pytest.mark.long
@needs_keras
def test_numpy_computes_what_keras_does_from_the_files_that_training_writes(tmp_path: Path) -> None:
    """In a process of its own: what jax starts in one cannot be forked."""
    done = subprocess.run([sys.executable, "-c", NETWORKS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "outputs.npz") as outputs:
        for name, features in (("one", 1), ("many", 6)):
            model = load(str(tmp_path / f"{name}.npz"))
            inputs = outputs["inputs"][:, :, :features].astype(np.float32).astype(np.float64)
            shift = forward_pass(model)(inputs) - outputs[name]  # that of the calibration, for each output
            assert shift == pytest.approx(np.broadcast_to(shift[0], shift.shape), rel=1e-6, abs=1e-6)
    assert json.loads((tmp_path / "many.card.json").read_text())["levels"] == list(LEVELS)
    one = load(str(tmp_path / "one.npz")).card
    recipe = {"batch": 64, "loss": "mean_squared_error", "kernel_l1": 1e-05, "optimizer": "adam"}
    assert (one["fit"], one["activation"]) == ({"epochs": 2, **recipe}, "relu")
    assert one["split_s"] == {"training": [0, 1000], "test": [1000, 1200], "every": 1}
    assert {"training", "test"} <= set(one) >= {"samples"}
    assert "validation" not in one
    predictor = create_predictor({"name": "lstm-quantile", "model": str(tmp_path / "many.npz")})
    assert predictor.forecast(observation([20.0, 24.0] * 60), 20.0).levels == LEVELS
