"""`tune`: a tuning from its goal to its findings.

Optuna is asked for settings in batches, whatever the number of workers, and told their results in the same order, so
that the same seed gives the same settings. Nothing of the search is kept but its runs: a command that is repeated asks
for the same settings again, finds their runs, and goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from math import inf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.errors import Error
from ipa.policies import knows_future
from ipa.studies.many import Keys, PlannedRun, Running, Store, begun, key_of, summary_of
from ipa.studies.many.answers import figure_of
from ipa.studies.many.tuning.aims import OUTCOMES, Wishes, wishes_of
from ipa.studies.many.tuning.cases import Case, TuningCases, cases_of, of_case
from ipa.studies.many.tuning.gains import Columns, Rows, columns_of, gains, means_of
from ipa.studies.many.tuning.options import TuningOptions
from ipa.studies.many.tuning.space import A_BOUND, Space, Values, check_values, space_of, suggested
from ipa.studies.many.tuning.tuned import Best, TriedSetting, Tuned, in_words, manifest_of, write_tuned
from ipa.studies.runs import prepare
from ipa.studies.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    from optuna import Study, Trial

OF_GOAL = ("policy", "policy.name", "price_per_core")
"""Keys on which the limits of a goal depend, besides its own."""

BATCH = 8
"""How many settings are asked for at once."""

AT_RANDOM = 24
"""How many settings are drawn at random before results guide the search."""

ERRORS_TOLD = 5
"""The most reasons that are told if no setting could be run."""

MOST_NAMED = 3
"""The most settings that are named for a reason."""


def tune(
    scenario: Scenario,
    *,
    jobs: int | None = None,
    folder: str | Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
    log: Callable[[str], object] = lambda _: None,
    **options: Any,
) -> Tuned:
    """Search values of a scenario's keys that minimise or maximise an outcome (`minimise`, `maximise`).

    These and the other options of `TuningOptions` are those of the command line, with the same names (`limits`: --slo).
    The limits of the policy's goal count beside these, unless what they depend on is varied, and its aim is the aim if
    none is given. `jobs` runs at a time, default: one per core. With a folder, runs are kept there and an interrupted
    tuning is resumed. `on_finished` is called after each setting. The same scenario, options and seed give the same
    result for any `jobs`.

    Raises ScenarioError for a goal, a policy that knows the load to come, keys, parts of the load or a folder that
    cannot be used; Error if no setting could be run; as `prepare` for the scenario itself; and as `Executor.make`.
    """
    given = TuningOptions(**options)
    space = space_of(scenario, given.vary)
    is_goal_varied = any(key in OF_GOAL or key.startswith("policy.goal") for key in space)
    wishes = wishes_of(given.minimise, given.maximise, given.limits, None if is_goal_varied else scenario)
    cases = cases_of(scenario, given.windows, given.seeds, log)
    if knows_future(prepare(of_case(cases.base, cases.train[0])).policy):
        raise ScenarioError(f"policy {scenario.policy.name!r}: {A_BOUND}")
    check_values(cases.base, space)
    place = None if folder is None else Path(folder)
    with (
        begun(Running(place, jobs, log=log), manifest_of(scenario, wishes, space, cases), summary_of) as session,
        session.executor(()) as make_runs,
        _study(wishes, scenario.seed) as study,
    ):
        runs = _Runs(cases, wishes, session.store, make_runs)
        runs.of({None: {}}, cases.train[:1])  # in this process, so that workers find the engine compiled
        defaults = runs.columns({None: {}}, cases.train)[None]
        settings: list[TriedSetting] = []
        for first in range(0, given.trials, BATCH):
            asked = [_ask(study, space) for _ in range(min(BATCH, given.trials - first))]
            outcomes = runs.of({trial.number: values for trial, values in asked}, cases.train)
            for trial, values in asked:
                outcome = outcomes[trial.number]
                rows, error = ([], outcome) if isinstance(outcome, str) else (outcome, None)
                settings.append(TriedSetting(trial.number, values, rows, error))
                _tell(study, trial, settings[-1], wishes, means_of(defaults))
                on_finished()
        if all(setting.error for setting in settings):
            raise failed(settings)
        best = best_of(settings, wishes, means_of(defaults))
        tuned = _tuned(scenario, space, wishes, cases, settings, best, defaults, runs)
    if place is not None:
        write_tuned(place, tuned)
    session.finish()
    return tuned


@contextmanager
def _study(wishes: Wishes, seed: int) -> Iterator[Study]:
    """Optuna's study, while Optuna is quiet. Raises ScenarioError if it is missing."""
    try:
        import optuna
    except ImportError:
        raise ScenarioError("tuning needs Optuna: pip install '.[tune]' in the checkout") from None
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=AT_RANDOM)
            yield optuna.create_study(direction="maximize" if wishes.aim.is_most else "minimize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(level)


def _ask(study: Study, space: Space) -> tuple[Trial, Values]:
    trial = study.ask()
    return trial, suggested(trial, space)


def _tell(study: Study, trial: Trial, setting: TriedSetting, wishes: Wishes, defaults: Mapping[str, float]) -> None:
    """Tell Optuna a setting's outcome, and how far it is beyond each limit."""
    from optuna.trial import TrialState

    if setting.error is not None:
        study.tell(trial, state=TrialState.FAIL)
        return
    means = setting.means
    for limit in wishes.limits:
        trial.set_constraint(str(limit), limit.excess(means[limit.outcome], defaults[limit.outcome]))
    value = means[wishes.aim.outcome]
    study.tell(trial, (-inf if wishes.aim.is_most else inf) if isnan(value) else value)


class _Runs:
    """Runs settings on cases."""

    def __init__(
        self,
        cases: TuningCases,
        wishes: Wishes,
        store: Store,
        make_runs: Callable[[Iterable[PlannedRun], int], object],
    ) -> None:
        self._base = cases.base
        self._names = tuple(dict.fromkeys((*OUTCOMES, *wishes.outcomes)))
        self._store = store
        self._make_runs = make_runs
        self._keys = Keys()

    def columns(self, values: Mapping[int | None, Values], cases: Sequence[Case]) -> dict[int | None, Columns]:
        """Run each setting on all cases. Raises Error, with its text, if a run fails."""
        columns = {}
        for number, rows in self.of(values, cases).items():
            if isinstance(rows, str):
                raise Error(f"{in_words(values[number]) or 'the defaults'}: {rows}")
            columns[number] = columns_of(rows)
        return columns

    def of(self, values: Mapping[int | None, Values], cases: Sequence[Case]) -> dict[int | None, Rows | str]:
        """For each setting, the outcomes of its runs on the cases, or the error of the first that failed."""
        outcomes: dict[int | None, Rows | str] = {}
        planned: dict[int | None, list[PlannedRun]] = {}
        for number, chosen in values.items():
            try:
                scenario = self._base.with_values(chosen)
            except Error as error:
                outcomes[number] = str(error)
            else:
                planned[number] = [self._planned(of_case(scenario, case)) for case in cases]
        self._make_runs(chain.from_iterable(planned.values()), 0)
        for number, runs in planned.items():
            by_key = self._store.summaries([run.key for run in runs])
            summaries = [by_key[run.key] for run in runs]
            error_text = next((summary for summary in summaries if isinstance(summary, str)), None)
            outcomes[number] = error_text or [
                {name: figure_of(summary, name) for name in self._names}
                for summary in summaries
                if isinstance(summary, dict)
            ]
        return outcomes

    def _planned(self, scenario: Scenario) -> PlannedRun:
        return PlannedRun(key_of(self._keys.shared(scenario), scenario.seed), scenario.as_dict())


def best_of(settings: Sequence[TriedSetting], wishes: Wishes, defaults: Mapping[str, float]) -> TriedSetting | None:
    """The best setting that keeps the limits; if neither any nor the defaults keep them, the one that breaks them
    least. None stands for the defaults. Of equal settings, the first is taken, of all the defaults."""
    finished = [setting for setting in settings if setting.error is None]
    kept: list[TriedSetting | None] = [setting for setting in finished if wishes.are_kept(setting.means, defaults)]
    if wishes.are_kept(defaults, defaults):
        kept.insert(0, None)
    if not kept:
        return min(finished, key=lambda setting: wishes.breach(setting.means, defaults))
    return min(kept, key=lambda one: wishes.aim.loss((defaults if one is None else one.means)[wishes.aim.outcome]))


def _tuned(
    scenario: Scenario,
    space: Space,
    wishes: Wishes,
    cases: TuningCases,
    settings: Sequence[TriedSetting],
    best: TriedSetting | None,
    defaults: Columns,
    runs: _Runs,
) -> Tuned:
    number, values = (None, {}) if best is None else (best.number, best.values)
    train = defaults if best is None else columns_of(best.rows)
    test = runs.columns({None: {}, number: values}, cases.test)
    of_best = Best(
        number,
        values,
        scenario.with_values(values),
        tuple(gains(wishes.outcomes, train, defaults, cases.seeds, cases.window_s)),
        tuple(gains(wishes.outcomes, test[number], test[None], cases.seeds, cases.window_s)),
        (
            wishes.are_kept(means_of(train), means_of(defaults)),
            wishes.are_kept(means_of(test[number]), means_of(test[None])),
        ),
    )
    trained = ((each.number, "train", cases.train, columns_of(each.rows)) for each in settings if each.error is None)
    tested = ((each, "test", cases.test, columns) for each, columns in test.items())
    every = ((None, "train", cases.train, defaults), *trained, *tested)
    return Tuned(scenario, wishes, space, cases, tuple(settings), of_best, every)


def failed(settings: Sequence[TriedSetting]) -> Error:
    """The error if no setting could be run: the reasons, the commonest first, each with the settings that have it."""
    having: dict[str, list[str]] = {}
    for setting in settings:
        having.setdefault(str(setting.error), []).append(in_words(setting.values))
    lines = [f"none of {len(settings)} settings could be run; give other ranges with --vary, or mend the reason:"]
    for why, names in sorted(having.items(), key=lambda reason: -len(reason[1]))[:ERRORS_TOLD]:
        different = list(dict.fromkeys(names))
        further = f" and {len(different) - MOST_NAMED} more" if len(different) > MOST_NAMED else ""
        lines.append(f"  {len(names)} of them, {'; '.join(different[:MOST_NAMED])}{further}: {why}")
    if len(having) > ERRORS_TOLD:
        lines.append(f"  and {len(having) - ERRORS_TOLD} more reasons")
    return Error("\n".join(lines))
