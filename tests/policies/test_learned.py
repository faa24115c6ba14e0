"""Learned predictors: what they see, that one forecast equals one of many, and which model files are refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ipa.policies import PolicyError, create_predictor
from ipa.policies.forecast import LEVELS
from ipa.policies.predictors import Lstm, describe_predictor
from ipa.policies.predictors.trained import TrainedModel, features, forward_pass, load, shipped, write_npz
from tests.tiny import observation

LIBRARY = Path(__file__).parents[2] / "policies" / "predictors" / "library"
PAGE = (Path(__file__).parents[2] / "docs" / "forecasts.md").read_text(encoding="utf-8")
LEARNED = ("lstm", "lstm-quantile", "quantile-gbm")
CARD = {"kind": "lstm", "normalisation": "none", "activation": "tanh"}
TREES_CARD = {"kind": "quantile-gbm", "normalisation": "deviation", "levels": [0.5]}


def arrays(seed: int = 0, units: int = 3, inputs: int = 1, outputs: int = 1) -> dict[str, Any]:
    """Those of a small network."""
    rng = np.random.default_rng(seed)
    return {
        "kernel": rng.normal(size=(inputs, 4 * units)),
        "recurrent": rng.normal(size=(units, 4 * units)),
        "bias": rng.normal(size=4 * units),
        "dense_kernel": rng.normal(size=(units, outputs)),
        "dense_bias": rng.normal(size=outputs),
    }


def loads(rows: int) -> npt.NDArray[np.float64]:
    """Histories of 120 s, some with seconds or windows without a sample, one with none at all, one of zeros."""
    rng = np.random.default_rng(1)
    made = rng.gamma(2.0, 10.0, size=(rows, 120))
    made[1, :25] = nan
    made[2, 55:70] = nan
    made[3, 119] = nan
    made[4] = nan
    made[5] = 0.0
    made[6] = 7.0
    return made


# ---- the shipped models ----


def test_each_learned_predictor_has_a_shipped_model_that_says_where_it_is_from() -> None:
    assert shipped() == tuple(LEARNED)
    for name in shipped():
        card = load(name).card
        assert card["kind"] == name
        assert card == json.loads((LIBRARY / f"{name}.card.json").read_text(encoding="utf-8"))
        assert f"| `{name}` | {round((LIBRARY / f'{name}.npz').stat().st_size / 1000)} kB |" in PAGE
        every_s = 5 if name.endswith("gbm") else 10
        if name == "lstm":
            assert card["split_s"] == {"training": [0, 1209600], "test": [1209600, 1899061], "every": every_s}
        else:
            assert card["split_s"] == {"training": [0, 1036800], "validation": [1036800, 1209600], "every": every_s}
            assert f"kB | {card['validation']['smape_percent']:.2f} % |" in PAGE
        assert {"data", "versions", "command", "seed"} <= set(card)


def test_the_published_network_is_trained_by_the_published_recipe() -> None:
    """relu, counts as they are at an eighth, 30 epochs, all of the first 14 days; its errors stand on the page."""
    card = load("lstm").card
    assert (card["activation"], card["normalisation"], card["horizons_s"]) == ("relu", "none", [20])
    recipe = {"batch": 64, "loss": "mean_squared_error", "kernel_l1": 1e-05, "optimizer": "adam"}
    assert (card["fit"], card["seed"]) == ({"epochs": 30, **recipe}, 1)
    assert "--scale 0.125 --scaling floor --model lstm" in card["command"]
    assert load("lstm").arrays["recurrent"].shape == (25, 100)
    for part in ("training", "test"):
        assert f"{card[part]['smape_percent']:.2f} %" in PAGE


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("horizon_s", [20.0, 45.0])
def test_many_forecasts_are_those_made_one_by_one_bit_for_bit(name: str, horizon_s: float) -> None:
    predictor = create_predictor(name)
    histories = loads(40)
    many = predictor.forecast_many(histories, horizon_s)  # type: ignore[attr-defined]
    single = [predictor.forecast(observation(history), horizon_s) for history in histories]
    assert [repr(one) for one in many] == [repr(one) for one in single]  # as text, for NaN
    assert isnan(many[4].point_rps)
    assert sum(isnan(one.point_rps) for one in many) == 1


@pytest.mark.parametrize("name", ["lstm-quantile", "quantile-gbm"])
def test_a_load_ten_times_as_large_has_a_forecast_ten_times_as_large(name: str) -> None:
    predictor = create_predictor(name)
    load = loads(8)[0]
    forecast, large = (predictor.forecast(observation(factor * load), 20.0) for factor in (1, 10))
    assert large.point_rps == pytest.approx(10 * forecast.point_rps)
    assert large.values_rps == pytest.approx([10 * value for value in forecast.values_rps])


@pytest.mark.parametrize("name", ["lstm-quantile", "quantile-gbm"])
def test_quantiles_rise_with_their_level_and_a_longer_horizon_is_busier(name: str) -> None:
    predictor = create_predictor(name)
    load = observation(np.random.default_rng(3).poisson(40, size=120).tolist())
    forecast = predictor.forecast(load, 20.0)
    assert forecast.levels == LEVELS
    assert list(forecast.values_rps) == sorted(forecast.values_rps)
    assert forecast.point_rps == forecast.at(0.5)
    assert predictor.forecast(load, 60.0).at(0.5) > predictor.forecast(load, 10.0).at(0.5)


@pytest.mark.parametrize("name", LEARNED)
def test_a_constant_load_goes_on(name: str) -> None:
    assert create_predictor(name).forecast(observation([30.0] * 120), 20.0).point_rps == pytest.approx(30.0, rel=0.15)


def test_until_two_minutes_are_known_the_published_predictor_answers_with_the_maximum_seen() -> None:
    history = [nan] * 15 + [4.0] * 50 + [9.0] + [5.0] * 54
    assert Lstm().forecast(observation(history), 20.0).point_rps == 9.0
    assert Lstm().forecast(observation([3.0, 8.0]), 20.0).point_rps == 8.0
    assert isnan(Lstm().forecast(observation(()), 20.0).point_rps)


def test_a_learned_predictor_is_described_as_it_is_made() -> None:
    assert describe_predictor(create_predictor("lstm")) == {"name": "lstm", "model": "lstm"}
    assert create_predictor({"name": "lstm", "model": "lstm"}) == Lstm()


# ---- what they compute ----


def test_windows_are_seen_relative_to_the_history() -> None:
    """Seconds of 10 and 20 in turn: the mean is 15, the deviation 5, so maxima are at 1, the last second at 1."""
    windows = features.by_window(np.array([[10.0, 20.0] * 60]))
    level, scale = features.level_and_scale(windows)
    assert (level[0], scale[0]) == (15.0, 5.0)
    seen = features.relative(windows, level, scale, np.array([200.0]))[0]
    assert seen.tolist() == [pytest.approx([1.0, 0.0, 1.0, 1.0, np.log10(1 / 3), 1.0])] * 12


def test_a_network_computes_the_equations_of_an_lstm() -> None:
    """One step after the other, as in the publication of the cell."""
    given = arrays()
    inputs = np.random.default_rng(2).normal(size=(1, 12, 1))
    state, cell = np.zeros(3), np.zeros(3)
    for window in inputs[0]:
        z = window @ given["kernel"] + state @ given["recurrent"] + given["bias"]
        entering, kept, _, shown = (1 / (1 + np.exp(-part)) for part in np.split(z, 4))
        cell = kept * cell + entering * np.tanh(np.split(z, 4)[2])
        state = shown * np.tanh(cell)
    expected = state @ given["dense_kernel"] + given["dense_bias"]
    assert forward_pass(TrainedModel("lstm", given, CARD, "here"))(inputs)[0] == pytest.approx(expected, abs=1e-12)


def test_trees_are_followed_to_their_leaves_and_summed() -> None:
    """Two trees for the one level: the first asks feature 1 twice, the second is a single leaf of 100."""
    trees = {
        "feature": np.array([[[1, 0, 1, 0, 0], [0] * 5]]),
        "threshold": np.array([[[2.0, 0.0, 5.0, 0.0, 0.0], [0.0] * 5]]),
        "left": np.array([[[1, 1, 3, 3, 4], [0, 1, 2, 3, 4]]]),
        "right": np.array([[[2, 1, 4, 3, 4], [0, 1, 2, 3, 4]]]),
        "value": np.array([[[0.0, 10.0, 0.0, 20.0, 30.0], [100.0, 0, 0, 0, 0]]]),
        "baseline": np.array([1000.0]),
    }
    rows = np.array([[9.0, 2.0], [9.0, 5.0], [9.0, 6.0]])
    outputs = forward_pass(TrainedModel("quantile-gbm", trees, TREES_CARD, "here"))(rows)
    assert outputs[:, 0].tolist() == [1110.0, 1120.0, 1130.0]


@pytest.mark.parametrize("leaves", [1, 2, 8, 9, 64])
def test_trees_of_any_shape_lead_where_a_walk_does(leaves: int) -> None:
    rng = np.random.default_rng(leaves)
    trees = drawn_trees(rng, leaves)
    rows = rng.integers(0, 4, (80, 5)).astype(float)  # often exactly at a threshold
    outputs = forward_pass(TrainedModel("quantile-gbm", trees, TREES_CARD, "here"))(rows)
    assert outputs[:, 0].tolist() == [
        np.array([walked(trees, tree, row) for tree in range(20)]).sum() + 0.5 for row in rows
    ]


def drawn_trees(rng: np.random.Generator, leaves: int) -> dict[str, Any]:
    """20 trees that have grown by splitting one of their leaves at a time, up to so many leaves."""
    nodes = 2 * leaves - 1
    left = np.tile(np.arange(nodes), (20, 1))
    right = left.copy()
    for tree in range(20):
        for first in range(1, 2 * rng.integers(1, leaves + 1) - 1, 2):
            split = rng.choice(np.flatnonzero(left[tree, :first] == np.arange(first)))
            left[tree, split], right[tree, split] = rng.permutation([first, first + 1])
    return {
        "feature": rng.integers(0, 5, (1, 20, nodes)),
        "threshold": rng.integers(0, 4, (1, 20, nodes)).astype(np.float32),
        "left": left[None],
        "right": right[None],
        "value": rng.normal(size=(1, 20, nodes)).astype(np.float32),
        "baseline": np.array([0.5]),
    }


def walked(trees: dict[str, Any], tree: int, row: Any) -> float:
    """The value of the leaf that a row comes to."""
    of_tree = {name: array[0, tree] for name, array in trees.items() if name != "baseline"}
    node = 0
    while of_tree["left"][node] != node:
        side = "right" if row[of_tree["feature"][node]] > of_tree["threshold"][node] else "left"
        node = of_tree[side][node]
    return float(of_tree["value"][node])


# ---- model files ----


def written(path: Path, given: dict[str, Any] | None = None, card: Any = CARD, **more: Any) -> str:
    np.savez(path, **{**(arrays() if given is None else given), "card": np.array(json.dumps(card)), **more})
    return str(path)


def refusal(model: str, name: str = "lstm") -> str:
    with pytest.raises(PolicyError) as caught:
        create_predictor({"name": name, "model": model})
    return str(caught.value)


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = TrainedModel("lstm", arrays(), CARD, "here")
    write_npz(model, tmp_path / "m.npz")
    again = load(str(tmp_path / "m.npz"))
    assert (again.kind, again.card) == ("lstm", CARD)
    assert all(np.array_equal(again.arrays[name], model.arrays[name]) for name in model.arrays)


def test_no_model_of_that_name_or_file(tmp_path: Path) -> None:
    allowed = f"{', '.join(shipped())}, or a .npz file"
    assert refusal("lstn") == f"model='lstn' is none of: {allowed} (did you mean 'lstm'?)"
    assert "gone.npz: cannot be read: No such file" in refusal(str(tmp_path / "gone.npz"))
    assert refusal("lstm", "quantile-gbm") == "model='lstm' is of kind 'lstm'; this predictor needs 'quantile-gbm'"


def test_wrong_arrays_are_refused(tmp_path: Path) -> None:
    path, right = tmp_path / "m.npz", arrays()
    lacking = {name: array for name, array in right.items() if name != "bias"}
    assert "m.npz: arrays lacks bias" in refusal(written(path, lacking))
    assert "unknown key 'more' of" in refusal(written(path, more=np.zeros(1)))
    assert "bias has the shape (3, 4); wanted: 1 dimensions" in refusal(written(path, bias=np.zeros((3, 4))))
    assert "gates of 11" in refusal(
        written(path, {**right, **{n: right[n][..., :11] for n in ("kernel", "recurrent", "bias")}})
    )
    assert "shape (11,) of bias: a dimension of 11" in refusal(written(path, bias=np.zeros(11)))
    assert "bias should hold finite numbers" in refusal(written(path, bias=np.full(12, nan)))
    assert "bias should hold finite numbers" in refusal(written(path, bias=np.array(["x"] * 12)))
    assert "inputs per window of 2" in refusal(written(path, arrays(inputs=2)))
    assert "outputs of 2" in refusal(written(path, arrays(outputs=2)))


def test_nodes_that_lead_nowhere_are_refused() -> None:
    right = load("quantile-gbm")
    for name, what in (("left", "whole numbers from 0 to"), ("feature", "whole numbers from 0 to 71")):
        wrong = right.arrays[name].copy()
        wrong[0, 0, 0] = -1
        with pytest.raises(PolicyError, match=f"{name} should hold {what}"):
            replace(right, arrays={**right.arrays, name: wrong})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, 1, 2), (1, 1, 2)),  # two ways to the same leaf
        ((1, 1, 2), (2, 0, 2)),  # a circle
        ((0, 1, 2), (1, 1, 2)),  # a node that may lead to itself
        ((0, 2, 2), (0, 2, 2)),  # another root
        ((0, 2, 2, 3), (0, 3, 2, 3)),
    ],
)
def test_nodes_that_are_no_tree_are_refused(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    nodes = len(left)
    none = np.zeros((1, 1, nodes), np.int64)
    given = {"left": np.array([[left]]), "right": np.array([[right]]), "baseline": np.zeros(1)}
    with pytest.raises(PolicyError, match="here: left and right should lead from each node to two others"):
        TrainedModel("quantile-gbm", {"feature": none, "threshold": none, "value": none, **given}, TREES_CARD, "here")


def test_trees_of_too_many_nodes_are_refused() -> None:
    trees = drawn_trees(np.random.default_rng(1), 65)
    with pytest.raises(PolicyError, match="here: trees of 129 nodes; allowed: up to 127"):
        TrainedModel("quantile-gbm", trees, TREES_CARD, "here")


def test_wrong_cards_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    assert "kind='lstn' is none of" in refusal(written(path, card={**CARD, "kind": "lstn"}))
    assert "normalisation=None is none of: none" in refusal(written(path, card={"kind": "lstm"}))
    assert "activation='swish' is none of" in refusal(written(path, card={**CARD, "activation": "swish"}))
    assert "card should be a JSON object" in refusal(written(path, card=[1]))
    np.savez(path, **arrays(), card=np.array("{"))
    assert "card is no JSON" in refusal(str(path))
    np.savez(path, **arrays())
    assert "lacks card" in refusal(str(path))
    quantiles = {"kind": "lstm-quantile", "normalisation": "deviation", "activation": "tanh"}
    wide = arrays(inputs=len(features.PER_WINDOW), outputs=2)
    for levels in ([0.9, 0.5], [0.5, 1.5], []):
        assert "should rise from above 0" in refusal(
            written(path, wide, {**quantiles, "levels": levels}), "lstm-quantile"
        )
    assert "outputs of 2" in refusal(written(path, wide, {**quantiles, "levels": [0.5]}), "lstm-quantile")


class Harmful:
    """What unpickling would run."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a model file has been executed",)


def test_a_file_that_holds_code_or_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    path.write_bytes(pickle.dumps(Harmful()))
    assert "is no whole .npz file of plain arrays" in refusal(str(path))
    assert "is no whole .npz file of plain arrays" in refusal(written(path, bias=np.array([Harmful()], dtype=object)))
    whole = Path(written(path)).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a zip", whole[:40]):
        path.write_bytes(damaged)
        assert "is no whole .npz file of plain arrays" in refusal(str(path)), damaged[:10]
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "is no .npz file but a single array" in refusal(str(path))


@pytest.mark.parametrize(("name", "least_s"), [("quantile-gbm", 20), ("lstm-quantile", 80)])
def test_of_a_history_that_is_too_short_to_learn_from_the_smoothed_maxima_are_the_forecast(
    name: str, least_s: int
) -> None:
    """Samples count, wherever in the two minutes they are; alone and among others alike."""
    load = [float(5 + second % 7) for second in range(least_s)]
    seen = [load[1:], [nan] * 10 + load[1:], load, [nan] * 10 + load]
    predictor: Any = create_predictor(name)
    found = [predictor.forecast(observation(each), 20.0) for each in seen]
    smoothed = [create_predictor("ewma").forecast(observation(each), 20.0) for each in seen]
    assert found[:2] == smoothed[:2]
    assert found[2] != smoothed[2]
    assert found[3] != smoothed[3]
    many = np.full((2, 120), nan)
    many[0, 120 - least_s + 1 :], many[1, 120 - least_s :] = load[1:], load
    assert predictor.forecast_many(many, 20.0) == [found[0], found[2]]
    assert predictor.forecast(observation([nan] * 120), 20.0).is_missing


@pytest.mark.parametrize("name", ["quantile-gbm", "lstm-quantile"])
def test_after_two_minutes_without_a_request_none_is_forecast(name: str) -> None:
    found = create_predictor(name).forecast(observation([0.0] * 120), 20.0)
    assert found.point_rps == 0.0 == found.at(0.99)
