"""`tune`: a tuning from its goal to its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

from ipa.errors import Error
from ipa.policies import knows_future
from ipa.studies.many import Keys, PlannedRun, Running, Store, begun, key_of, summary_of
from ipa.studies.many.answers import figure_of
from ipa.studies.many.tuning.aims import OUTCOMES, Wishes, wishes_of
from ipa.studies.many.tuning.cases import Case, TuningCases, cases_of, of_case
from ipa.studies.many.tuning.gains import Columns, Rows, columns_of, gains, means_of
from ipa.studies.many.tuning.options import Drawing, TuningOptions
from ipa.studies.many.tuning.search import FEWEST_WINDOWS, Search, TriedSetting, opened
from ipa.studies.many.tuning.space import A_BOUND, Space, Values, check_values, space_of
from ipa.studies.many.tuning.tuned import Best, Tuned, check_same, in_words, manifest_of, write_tuned
from ipa.studies.runs import prepare
from ipa.studies.scenario import Scenario, ScenarioError

OF_GOAL = ("policy", "policy.name", "price_per_core")
"""Keys on which the limits of a goal depend, besides its own."""

ERRORS_TOLD = 5
"""The most reasons that are told if no setting could be run."""

MOST_NAMED = 3
"""The most settings that are named for a reason."""

MOST_BEST = 8
"""With several aims, the most settings of the front whose gains are measured on unseen windows."""


def tune(
    scenario: Scenario,
    *,
    drawing: Drawing | None = None,
    jobs: int | None = None,
    folder: str | Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
    log: Callable[[str], object] = lambda _: None,
    **options: Any,
) -> Tuned:
    """Search values of a scenario's keys that minimise or maximise an outcome (`minimise`, `maximise`).

    These and the other options, `also`, `limits`, `vary` and `trials`, are those of the command line, with the same
    names (`limits`: --slo). The limits of the policy's goal count beside these, unless what they depend on is varied,
    and its aim is the aim if none is given. `drawing`: the loads, also as there. `jobs` runs at a time, default: one
    per core. With a folder, everything is kept there and an interrupted tuning is resumed. `on_finished` is called
    after each setting. The same scenario, goal, space, drawing, trials and seed give the same result for any `jobs`.

    Raises ScenarioError for a goal, a policy that knows the load to come, keys, parts of the load or a folder that
    cannot be used; Error if no setting could be run; as `prepare` for the scenario itself; and as `Executor.make`.
    """
    goal_options = TuningOptions(**options)
    space = space_of(scenario, goal_options.vary)
    is_goal_varied = any(key in OF_GOAL or key.startswith("policy.goal") for key in space)
    goal_of = None if is_goal_varied else scenario
    wishes = wishes_of(goal_options.minimise, goal_options.maximise, goal_options.also, goal_options.limits, goal_of)
    cases = cases_of(scenario, drawing or Drawing(), log)
    if knows_future(prepare(of_case(cases.base, cases.train[0])).policy):
        raise ScenarioError(f"policy {scenario.policy.name!r}: {A_BOUND}")
    check_values(cases.base, space)
    place, manifest = None if folder is None else Path(folder), manifest_of(scenario, wishes, space, cases)
    if place is not None:
        check_same(place, manifest)
    with (
        begun(Running(place, jobs, log=log), manifest, summary_of) as session,
        session.executor(()) as make_runs,
        opened(place, space, wishes, scenario.seed) as search,
    ):
        names = tuple(dict.fromkeys((*OUTCOMES, *wishes.outcomes)))
        training = _Training(search, cases, names, session.store, make_runs)
        for batch in search.batches(goal_options.trials):
            training.run(batch)
            for setting in batch:
                search.tell(setting, training.default_means)
                on_finished()
        settings = search.told()
        if all(setting.error for setting in settings):
            raise failed(settings)
        tuned = _tuned(scenario, space, wishes, cases, settings, training)
    if place is not None:
        write_tuned(place, tuned)
    session.finish()
    return tuned


def looks(windows: int, seeds: int) -> list[int]:
    """The numbers of runs after which settings may be dropped; the last is all of them."""
    shares = (ceil(windows / 4), ceil(windows / 2))
    return [seeds * count for count in shares if FEWEST_WINDOWS <= count < windows] + [seeds * windows]


class _Training:
    """Runs batches of settings on the training cases, without the last ones where Optuna prunes a setting."""

    def __init__(
        self,
        search: Search,
        cases: TuningCases,
        names: Sequence[str],
        store: Store,
        make_runs: Callable[[Iterable[PlannedRun], int], object],
    ) -> None:
        self._search = search
        self._cases = cases
        self._names = names
        self._store = store
        self._make_runs = make_runs
        self._keys = Keys()
        self.run_on({None: {}}, cases.train[:1])  # in this process, so that workers find the engine compiled
        self.defaults = self.run_on({None: {}}, cases.train)[None]
        self.default_means = means_of(self.defaults)

    def run_on(self, values: Mapping[int | None, Values], cases: Sequence[Case]) -> dict[int | None, Columns]:
        """Run each setting on all cases. Raises Error, with its text, if a run fails."""
        columns = {}
        for number, rows in self._outcomes(values, cases).items():
            if isinstance(rows, str):
                raise Error(f"{in_words(values[number]) or 'the defaults'}: {rows}")
            columns[number] = columns_of(rows)
        return columns

    def _outcomes(self, values: Mapping[int | None, Values], cases: Sequence[Case]) -> dict[int | None, Rows | str]:
        """For each setting, the outcomes of its runs on the cases, or the error of the first that failed."""
        outcomes: dict[int | None, Rows | str] = {}
        planned: dict[int | None, list[PlannedRun]] = {}
        for number, chosen in values.items():
            try:
                scenario = self._cases.base.with_values(chosen)
            except Error as error:
                outcomes[number] = str(error)
            else:
                planned[number] = [self._planned(of_case(scenario, case)) for case in cases]
        self._make_runs(chain.from_iterable(planned.values()), 0)
        for number, runs in planned.items():
            by_key = self._store.summaries([run.key for run in runs])
            summaries = [by_key[run.key] for run in runs]
            failed = next((summary for summary in summaries if isinstance(summary, str)), None)
            outcomes[number] = failed or [
                {name: figure_of(summary, name) for name in self._names}
                for summary in summaries
                if isinstance(summary, dict)
            ]
        return outcomes

    def _planned(self, scenario: Scenario) -> PlannedRun:
        return PlannedRun(key_of(self._keys.shared(scenario), scenario.seed), scenario.as_dict())

    def run(self, batch: Sequence[TriedSetting]) -> None:
        """Run a batch until each setting is complete, dropped or failed."""
        train, seeds = self._cases.train, self._cases.seeds
        for look in looks(len(train) // seeds, seeds):
            alive = {tried.number: tried for tried in batch if not tried.is_dropped and tried.error is None}
            outcomes = self._outcomes({number: tried.values for number, tried in alive.items()}, train[:look])
            for number, setting in alive.items():
                rows = outcomes[number]
                if isinstance(rows, str):
                    setting.error = rows
                    continue
                setting.rows = rows
                if look < len(train):
                    setting.is_dropped = self._search.should_prune(setting, seeds)


def best_of(
    complete: Sequence[TriedSetting], wishes: Wishes, defaults: Mapping[str, float]
) -> list[TriedSetting | None]:
    """The Pareto front, over all aims, of the settings that keep the limits, the best in the first aim first.

    None stands for the defaults. The front is empty if none keeps the limits. Of equal settings, the first is taken.
    """
    candidates: list[tuple[tuple[float, ...], TriedSetting | None]] = [
        (wishes.losses(defaults), None)
    ] * wishes.are_kept(defaults, defaults)
    for setting in complete:
        means = setting.means
        if wishes.are_kept(means, defaults):
            candidates.append((wishes.losses(means), setting))
    front = [
        (losses, setting)
        for place, (losses, setting) in enumerate(candidates)
        if not any(
            _dominates(rival, losses) or (rival == losses and before < place)
            for before, (rival, _) in enumerate(candidates)
        )
    ]
    return [setting for _, setting in sorted(front, key=lambda candidate: candidate[0])]


def _dominates(losses: tuple[float, ...], rival: tuple[float, ...]) -> bool:
    return losses != rival and all(a <= b for a, b in zip(losses, rival, strict=True))


def _tuned(
    scenario: Scenario,
    space: Space,
    wishes: Wishes,
    cases: TuningCases,
    settings: Sequence[TriedSetting],
    training: _Training,
) -> Tuned:
    complete = [setting for setting in settings if not setting.is_dropped and setting.error is None]
    front = best_of(complete, wishes, training.default_means)[:MOST_BEST]
    if not front and complete:
        front = [
            min(complete, key=lambda setting: (wishes.breach(setting.means, training.default_means), setting.number))
        ]
    if not front:
        front = [None]
    values: dict[int | None, Values] = {
        None: {},
        **{setting.number: setting.values for setting in front if setting is not None},
    }
    test = training.run_on(values, cases.test)
    train: dict[int | None, Columns] = {None: training.defaults}
    train |= {setting.number: columns_of(setting.rows) for setting in front if setting is not None}
    best = tuple(
        Best(
            number,
            values[number],
            scenario.with_values(values[number]),
            tuple(gains(wishes.outcomes, train[number], training.defaults, cases.seeds, cases.window_s)),
            tuple(gains(wishes.outcomes, test[number], test[None], cases.seeds, cases.window_s)),
            (
                wishes.are_kept(means_of(train[number]), training.default_means),
                wishes.are_kept(means_of(test[number]), means_of(test[None])),
            ),
        )
        for number in [None if setting is None else setting.number for setting in front]
    )
    runs = [
        (None, "train", cases.train, training.defaults),
        *(
            (setting.number, "train", cases.train, columns_of(setting.rows))
            for setting in settings
            if setting.error is None
        ),
        *((number, "test", cases.test, columns) for number, columns in test.items()),
    ]
    return Tuned(scenario, wishes, space, cases, tuple(settings), best, tuple(runs))


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
