"""Answers to questions: the figures of each policy over its seeds, curves, and differences from a pinned answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ipa.policies import split_spec
from ipa.sim import FloatArray
from ipa.studies import results, series
from ipa.studies.explore.questions import Question
from ipa.studies.formatting import plus, signed
from ipa.studies.intervals import difference_of, estimate_of, limits
from ipa.studies.many.answers import USUAL, find, of_summaries, recommend
from ipa.studies.runs import FIGURES, LIVE, RESIZES, Run, has_records
from ipa.studies.scenario import Scenario, ScenarioError

Plain = dict[str, Any]
"""A JSON-able dict."""


# ---- one run, in the process that made it ----


def plain_run(run: Run, drawn: bool) -> Plain:
    """A run for the page: its summary in full precision, its load, and if `drawn` its curves."""
    load = {"name": run.trace.name, "source": run.trace.source, "sha256": run.trace.sha256}
    return {"summary": run.summary, "load": load, "curves": curves(run) if drawn and has_records(run) else None}


def curves(run: Run | results.StoredRun) -> Plain:
    """The curves of a run over time: load, forecast, cores, latencies, and the configuration of each stage."""
    tables, duration_s = run.tables, float(run.summary["duration_s"])
    decisions = tables["decisions"]
    middles_s, latency_s = series.latency_quantiles_s(tables, duration_s, (0.99,))
    took_s, share = series.latency_curve([tables], run.summary["sla_s"])
    return {
        "load": _steps(series.load_rps(tables, duration_s)),
        "forecast": _steps(series.decided(decisions, "forecast_rps", duration_s)),
        "existing": _steps(series.existing_cores(tables["replicas"], duration_s, tables.get(RESIZES))),
        "decided": _steps(series.decided(decisions, "cost_cores", duration_s)),
        "latency": {"x": _short(middles_s), "p99": _short(latency_s[0])},
        "distribution": {"x": _short(took_s), "y": _short(share)},
        "variants": {stage: sorted(each, key=each.__getitem__) for stage, each in run.accuracies.items()},
        "stages": {
            stage: [
                [each.start_s, each.end_s, each.variant, each.batch, each.replicas]
                for each in series.segments(decisions, stage, duration_s)
            ]
            for stage in run.accuracies
        },
    }


def _steps(found: series.Steps | None) -> Plain | None:
    return None if found is None else {"x": _short(found.line[0]), "y": _short(found.line[1])}


def _short(values: FloatArray) -> list[float | None]:
    """Values rounded for drawing; None if not finite."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in np.asarray(values).tolist()]


# ---- all runs of a question ----


def answer(question: Question, chosen: Sequence[Sequence[Scenario]], runs: Sequence[Sequence[Plain]]) -> Plain:
    """The answer to a question; `runs`: for each policy by seed, as `plain_run` returns them."""
    first = runs[0][0]["summary"]
    return {
        "policies": [
            {
                "policy": scenarios[0].policy.title,
                **of_policy([run["summary"] for run in made]),
                "curves": made[0]["curves"],
            }
            for scenarios, made in zip(chosen, runs, strict=True)
        ],
        "recommendation": recommendation(
            {of[0].policy.title: [run["summary"] for run in made] for of, made in zip(chosen, runs, strict=True)}
        ),
        "figures": [name for name, *_ in FIGURES],
        "made": {
            "pipeline": first["pipeline"],
            "sla_s": first["sla_s"],
            "duration_s": first["duration_s"],
            "requests": first["requests"],
            "seeds": [run["summary"]["seed"] for run in runs[0]],
            "engine": first["engine"],
            "version": results.versions_of("ipa-pipelines")["ipa-pipelines"],
            "load": runs[0][0]["load"],
        },
        "intervals": limits([chosen[0][0].trace]) if len(runs[0]) > 1 else "",
        **question.ways(chosen[0][0]),
    }


def coarse_answer(question: Question, chosen: Sequence[Sequence[Scenario]], runs: Sequence[Sequence[Plain]]) -> Plain:
    """A preliminary answer: as `answer`, with a sentence `coarse` on what it covers, and without recommendation.

    `runs`: one for each policy.
    """
    found = answer(question, chosen, runs)
    whole_s, part_s = runs[0][0]["whole_s"], found["made"]["duration_s"]
    parts = [] if whole_s is None else [f"the first {part_s:g} of {whole_s:,g} s"]
    parts += [f"seed {found['made']['seeds'][0]} of {question.seeds}"] if question.seeds > 1 else []
    return {**found, "coarse": f"Coarse: {', '.join(parts)}. The whole answer follows.", "recommendation": []}


def measured(folder: str) -> Plain:
    """The measurements of a live run, to be shown beside its simulation: the `policies` of an `answer`.

    Raises ScenarioError if the folder holds no live run.
    """
    run = results.read_run(folder)
    if run.summary["engine"] != LIVE:
        raise ScenarioError(f"{folder}: holds a simulated run, of which nothing was measured")
    drawn = curves(run) if has_records(run) else None
    return {"policies": [{"policy": run.summary["policy"], **of_policy([run.summary]), "curves": drawn}]}


def recommendation(summaries: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Which policy to choose and why, in sentences as `ipa compare` prints them; empty if there is nothing to choose.

    `summaries`: policy -> the summaries of its runs.
    """
    by_seed = {policy: {run["seed"]: run for run in runs} for policy, runs in summaries.items()}
    found = recommend(of_summaries("policy", by_seed, find(USUAL, USUAL))) if len(by_seed) > 1 else None
    return [] if found is None else found.sentences


def of_policy(summaries: Sequence[Mapping[str, Any]]) -> Plain:
    """The figures of a policy as `ipa compare` prints them: means over seeds with their intervals."""
    found: dict[str, Plain] = {}
    for name, key, factor, digits in FIGURES:
        estimate = estimate_of(key, summaries, factor)
        if estimate is None:
            found[name] = {"text": "-", "mean": None, "low": None, "high": None}
            continue
        ends = (estimate.low, estimate.high) if estimate.has_interval else (None, None)
        found[name] = {"text": estimate.text(digits), "mean": estimate.mean, "low": ends[0], "high": ends[1]}
    return {"estimates": found, "runs": list(summaries)}


def differences(found: Plain, pinned: Any) -> list[Plain]:
    """The differences of each policy from its counterpart in the pinned answer.

    `pinned`: policy -> summaries, one for each seed. Raises ScenarioError if it is malformed.
    """
    try:
        return [_against(each, *_counterpart(each["policy"], pinned)) for each in found["policies"]]
    except (AttributeError, KeyError, IndexError, StopIteration, TypeError, ValueError):
        raise ScenarioError("pinned: should be a mapping of policies to the summaries of their runs") from None


def _counterpart(policy: str, pinned: Mapping[str, Any]) -> tuple[str, Any]:
    """The pinned policy of that name, else the same policy with other parameters, else the first."""
    name = split_spec(policy)[0]
    alike = [each for each in pinned if split_spec(each)[0] == name]
    chosen = policy if policy in pinned else next(iter([*alike, *pinned]))
    return chosen, pinned[chosen]


def _against(current: Plain, other: str, summaries: Sequence[Mapping[str, Any]]) -> Plain:
    ours, theirs = ({run["seed"]: run for run in runs} for runs in (current["runs"], summaries))
    seeds = [seed for seed in ours if seed in theirs]
    rows: list[Plain] = []
    clear: list[str] = []
    unclear: list[str] = []
    for name, key, factor, digits in FIGURES:
        by_seed = [
            None if None in (ours[seed][key], theirs[seed][key]) else factor * (ours[seed][key] - theirs[seed][key])
            for seed in seeds
        ]
        found = difference_of(key, ours, theirs, factor)
        is_clear = found is not None and found.has_interval and (found.low > 0.0 or found.high < 0.0)
        text = "-" if found is None else signed(found, digits, "")
        each = ["-" if value is None else plus(value, digits) for value in by_seed]
        rows.append({"name": name, "text": text, "seeds": each, "values": by_seed, "is_clear": is_clear})
        if found is not None and plus(found.mean, digits).strip("0."):  # not zero as shown
            (clear if is_clear or len(seeds) < 2 else unclear).append(f"{name} {text}")
    said = "; ".join([*clear, *([f"within their intervals: {', '.join(unclear)}"] if unclear else [])])
    said = "no seed in common" if not seeds else said or "no difference in any figure"
    return {"policy": current["policy"], "against": other, "seeds": seeds, "figures": rows, "words": said}
