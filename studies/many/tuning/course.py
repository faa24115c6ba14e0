"""From the wishes to what was found: `tune`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ipa.errors import Error
from ipa.studies import results
from ipa.studies.many import workers
from ipa.studies.many.tuning import kept
from ipa.studies.many.tuning.cases import Case, Cases, cases_of, of_case
from ipa.studies.many.tuning.drawing import TRIALS, Drawing
from ipa.studies.many.tuning.gain import gains
from ipa.studies.many.tuning.racing import Columns, is_hopeless, looks
from ipa.studies.many.tuning.runs import Rows, Task, columns_of, means_of, run_tasks, tasks_of
from ipa.studies.many.tuning.search import BATCH, Search, Setting, opened
from ipa.studies.many.tuning.space import Space, Values, check_values, space_of
from ipa.studies.many.tuning.tuned import Best, Tuned
from ipa.studies.many.tuning.wishes import Wishes, wishes_of
from ipa.studies.runs import prepare
from ipa.studies.scenario import Scenario

MOST_BEST = 8
"""Of how many of the best settings, with several aims, the gains on windows never seen are measured."""


def tune(
    scenario: Scenario,
    *,
    minimise: str | None = None,
    maximise: str | None = None,
    also: Sequence[str] = (),
    limits: Sequence[str] = (),
    vary: Sequence[str] = (),
    trials: int = TRIALS,
    drawing: Drawing | None = None,
    jobs: int | None = None,
    folder: str | Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
    log: Callable[[str], object] = lambda _: None,
) -> Tuned:
    """Look for values of a scenario's keys with which an outcome is least (`minimise`) or most (`maximise`).

    `also`: further aims, each `minimise OUTCOME` or `maximise OUTCOME`; `limits`: as `parse_limit`; `vary`: as
    `space_of`. `trials`: how many settings to try. `drawing`: on which loads. `jobs` runs at a time, default: one per
    core. With a folder everything is kept there, and an interrupted tuning goes on. `on_finished` is called after each
    setting. The same scenario, wishes, space, drawing, trials and seed find the same, whatever `jobs`.

    Raises ScenarioError for wishes, keys, parts of the load or a folder that cannot be used, or where no setting could
    be run; as `prepare` for the scenario itself; and as `workers.run_all`.
    """
    wishes = wishes_of(minimise, maximise, also, limits)
    space = space_of(scenario, vary)
    cases = cases_of(scenario, drawing or Drawing(), log)
    prepare(of_case(cases.base, cases.train[0]))
    check_values(cases.base, space)
    place = None if folder is None else Path(folder)
    with ExitStack() as stack:
        if place is not None:
            kept.open_folder(place, kept.asked(scenario, wishes, space, cases))
            stack.enter_context(results.alone(place))
        search = stack.enter_context(opened(place, space, wishes, scenario.seed))
        race = _Race(search, wishes, cases, jobs or workers.cores())
        for batch in search.batches(trials):
            race.run(batch)
            for setting in batch:
                search.tell(setting, race.default_means)
                on_finished()
        settings = search.told()
        if all(setting.error for setting in settings):
            raise _failed(settings[0])
        found = _found(scenario, space, wishes, cases, settings, race)
        if place is not None:
            kept.close_folder(place, found)
        return found


class _Race:
    """Running batches of settings on the cases to train on, and dropping those that are clearly out."""

    def __init__(self, search: Search, wishes: Wishes, cases: Cases, jobs: int) -> None:
        self._search = search
        self._wishes = wishes
        self._cases = cases
        self._jobs = jobs
        # In this process, so that workers find compiled what they are to run.
        self.defaults = self.run_on({None: {}}, cases.train[:1], jobs=1)[None]
        self.defaults = self.run_on({None: {}}, cases.train)[None]
        self.default_means = means_of(self.defaults)

    def run_on(
        self, values: Mapping[int | None, Values], cases: Sequence[Case], jobs: int | None = None
    ) -> dict[int | None, Columns]:
        """Run each of the settings on all of the cases. Raises the error of a run that fails."""
        numbers = list(values)
        found: dict[tuple[int, int], Rows] = {}

        def keep(task: Task, rows: Rows | str) -> None:
            if isinstance(rows, str):
                raise Error(f"{dict(task.values) or 'the defaults'}: {rows}")
            found[task.place, task.begin] = rows

        tasks = [
            task
            for place, number in enumerate(numbers)
            for task in tasks_of(place, values[number], cases, 0, len(cases))
        ]
        run_tasks(self._cases.base, tasks, jobs or self._jobs, keep)
        return {
            number: columns_of([row for task in tasks if task.place == place for row in found[place, task.begin]])
            for place, number in enumerate(numbers)
        }

    def run(self, batch: Sequence[Setting]) -> None:
        """Run a batch until each setting is complete, dropped or has failed."""
        train = self._cases.train
        best = self._best_before(batch[0].number // BATCH * BATCH)
        for look in looks(len(train) // self._cases.seeds, self._cases.seeds):
            alive = [each for each in batch if not each.is_dropped and each.error is None]
            self._run_up_to(alive, look)
            for setting in alive:
                if setting.error is None and look < len(train):
                    setting.is_dropped = is_hopeless(columns_of(setting.rows[:look]), self._wishes, self.defaults, best)
                    if setting.is_dropped:
                        setting.rows = setting.rows[:look]

    def _run_up_to(self, alive: Sequence[Setting], look: int) -> None:
        """Run the settings on the cases up to number `look`, but for those whose rows are there."""
        tasks = [
            task
            for place, setting in enumerate(alive)
            for task in tasks_of(place, setting.values, self._cases.train, len(setting.rows), look)
        ]
        fresh: dict[tuple[int, int], Rows] = {}

        def keep(task: Task, rows: Rows | str) -> None:
            if isinstance(rows, str):
                alive[task.place].error = rows
            else:
                self._search.keep(alive[task.place], task.begin, rows)
                fresh[task.place, task.begin] = rows

        run_tasks(self._cases.base, tasks, self._jobs, keep)
        for task in tasks:
            if alive[task.place].error is None:
                alive[task.place].rows += fresh[task.place, task.begin]

    def _best_before(self, number: int) -> list[Columns]:
        """The runs of the best complete settings among those before a number, the defaults included."""
        complete = [
            each for each in self._search.told() if each.number < number and not each.is_dropped and each.error is None
        ]
        front = best_of(complete, self._wishes, self.default_means)
        return [self.defaults if each is None else columns_of(each.rows) for each in front]


def best_of(complete: Sequence[Setting], wishes: Wishes, defaults: Mapping[str, float]) -> list[Setting | None]:
    """The settings that keep the limits and that none is better than in all aims, the best in the first aim first.

    None stands for the defaults. Where nothing keeps the limits: nothing. Of equal settings the first is taken.
    """
    candidates: list[tuple[tuple[float, ...], Setting | None]] = [(wishes.losses(defaults), None)] * wishes.are_kept(
        defaults, defaults
    )
    for setting in complete:
        found = setting.means
        if wishes.are_kept(found, defaults):
            candidates.append((wishes.losses(found), setting))
    front = [
        (losses, setting)
        for place, (losses, setting) in enumerate(candidates)
        if not any(
            _dominates(other, losses) or (other == losses and before < place)
            for before, (other, _) in enumerate(candidates)
        )
    ]
    return [setting for _, setting in sorted(front, key=lambda each: each[0])]


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _found(
    scenario: Scenario, space: Space, wishes: Wishes, cases: Cases, settings: Sequence[Setting], race: _Race
) -> Tuned:
    complete = [each for each in settings if not each.is_dropped and each.error is None]
    front = best_of(complete, wishes, race.default_means)[:MOST_BEST]
    if not front and complete:
        front = [min(complete, key=lambda each: (wishes.breach(each.means, race.default_means), each.number))]
    if not front:
        front = [None]
    values: dict[int | None, Values] = {None: {}, **{each.number: each.values for each in front if each is not None}}
    test = race.run_on(values, cases.test)
    train: dict[int | None, Columns] = {None: race.defaults}
    train |= {each.number: columns_of(each.rows) for each in front if each is not None}
    best = tuple(
        Best(
            number,
            values[number],
            scenario.with_values(values[number]),
            tuple(gains(wishes.outcomes, train[number], race.defaults, cases.seeds, cases.window_s)),
            tuple(gains(wishes.outcomes, test[number], test[None], cases.seeds, cases.window_s)),
            (
                wishes.are_kept(means_of(train[number]), race.default_means),
                wishes.are_kept(means_of(test[number]), means_of(test[None])),
            ),
        )
        for number in [None if each is None else each.number for each in front]
    )
    runs = [
        (None, "train", cases.train, race.defaults),
        *((each.number, "train", cases.train, columns_of(each.rows)) for each in settings if each.error is None),
        *((number, "test", cases.test, columns) for number, columns in test.items()),
    ]
    return Tuned(scenario, wishes, space, cases, tuple(settings), best, tuple(runs))


def _failed(setting: Setting) -> Error:
    return Error(f"no setting could be run; the first: {dict(setting.values)}: {setting.error}")
