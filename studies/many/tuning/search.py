"""The search by Optuna: it asks for settings and tells their results, so that the same seed gives the same settings.

Settings are asked for in batches, whatever the number of workers, and told in the same order. Each setting's sampler
has its own seed, so the setting depends only on the results told so far: a search that was interrupted, even while
asking, resumes as if it had not been. Optuna's own storage keeps the results, in one append-only file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ipa.studies.many.tuning.aims import Wishes
from ipa.studies.many.tuning.gains import Rows, by_window, columns_of, means_of
from ipa.studies.many.tuning.space import Space, Values, suggested
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from ipa.studies.many.tuning.aims import Outcomes

TRIALS = "trials.log"
"""Optuna's file, which its other programs, such as the dashboard, can read too."""

NAME = "ipa"

BATCH = 8
"""How many settings are asked for at once."""

AT_RANDOM = 24
"""How many settings are drawn at random before results guide the search."""

FEWEST_WINDOWS = 4
"""The fewest windows after which a setting may be dropped."""

_ROWS, _VALUES, _ERROR = "rows", "values", "error"


@dataclass
class TriedSetting:
    """One setting: its number, its values, and the outcomes of its runs so far, in the order of the cases."""

    number: int
    values: Values
    rows: Rows = field(default_factory=list)
    error: str | None = None
    is_dropped: bool = False

    @property
    def means(self) -> dict[str, float]:
        """The mean outcomes of its runs."""
        return means_of(columns_of(self.rows))


class Search:
    """A search in a space, for the aims and limits of `wishes`."""

    def __init__(self, study: Study, space: Space, wishes: Wishes, seed: int) -> None:
        self._study = study
        self._space = space
        self._wishes = wishes
        self._seed = seed
        self._open: dict[int, Trial] = {}

    def batches(self, trials: int) -> Iterator[list[TriedSetting]]:
        """The settings to try, up to `trials` in all, batch by batch; each batch must be told completely."""
        from optuna.trial import TrialState

        before = self._study.get_trials(deepcopy=False)
        waiting = [self._again(trial) for trial in before if trial.state == TrialState.RUNNING]
        count = len(before)
        while waiting or count < trials:
            while count < trials and (count % BATCH or not waiting):
                waiting.append(self._ask(count))
                count += 1
            yield waiting
            waiting = []

    def should_prune(self, setting: TriedSetting, seeds: int) -> bool:
        """Whether Optuna's pruner drops a setting that has met its first windows, with `seeds` runs in each.

        It compares them window by window with the best setting so far that keeps the limits. With several aims there is
        no such setting, and none is dropped.
        """
        if len(self._wishes.aims) > 1:
            return False
        trial, (aim,) = self._open[setting.number], self._wishes.aims
        with _quietly():
            for window, value in enumerate(by_window(columns_of(setting.rows)[aim.outcome], seeds).tolist()):
                trial.report(value, window)
            return trial.should_prune()

    def tell(self, setting: TriedSetting, defaults: Outcomes) -> None:
        """Tell the result of a setting, which is complete, dropped or failed."""
        from optuna.trial import TrialState

        trial = self._open.pop(setting.number)
        trial.set_user_attr(_ROWS, setting.rows)
        if setting.error is not None:
            trial.set_user_attr(_ERROR, setting.error)
            self._study.tell(trial, state=TrialState.FAIL)
            return
        means = setting.means
        with _quietly():
            # A command that was killed between this and `tell` has set the same value.
            warnings.filterwarnings("ignore", "The constraint value is ignored", UserWarning)
            for limit in self._wishes.limits:
                trial.set_constraint(str(limit), limit.excess(means[limit.outcome], defaults[limit.outcome]))
            values = [
                means[aim.outcome] if means[aim.outcome] == means[aim.outcome] else -inf if aim.is_most else inf
                for aim in self._wishes.aims
            ]
            if not setting.is_dropped:
                self._study.tell(trial, values)
                return
            self._study.tell(trial, state=TrialState.PRUNED)

    def told(self) -> list[TriedSetting]:
        """All settings that have been told, in order."""
        from optuna.trial import TrialState

        ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return [_setting(trial) for trial in self._study.get_trials(deepcopy=False) if trial.state in ended]

    def _ask(self, number: int) -> TriedSetting:
        with _quietly():
            self._study.sampler = _sampler(self._seed, number)
            trial = self._study.ask()
            assert trial.number == number
            return self._suggested(trial)

    def _again(self, before: FrozenTrial) -> TriedSetting:
        """A setting that was asked for, perhaps incompletely, but not told."""
        from optuna.trial import Trial

        with _quietly():
            self._study.sampler = _sampler(self._seed, before.number)
            return self._suggested(Trial(self._study, before._trial_id))

    def _suggested(self, trial: Trial) -> TriedSetting:
        values = suggested(trial, self._space)
        trial.set_user_attr(_VALUES, values)
        self._open[trial.number] = trial
        return TriedSetting(trial.number, values)


@contextmanager
def opened(folder: Path | None, space: Space, wishes: Wishes, seed: int) -> Iterator[Search]:
    """The search kept in a folder, new if there is none; `folder` None: kept in memory.

    Raises ScenarioError if Optuna is missing, or its file is damaged.
    """
    try:
        import optuna
    except ImportError:
        raise ScenarioError("tuning needs Optuna: pip install '.[tune]' in the checkout") from None
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with _quietly():
            try:
                study = optuna.create_study(
                    storage=None if folder is None else _storage(folder / TRIALS),
                    study_name=NAME,
                    directions=["maximize" if aim.is_most else "minimize" for aim in wishes.aims],
                    pruner=_pruner(),
                    load_if_exists=True,
                )
            except (ValueError, LookupError, TypeError, AssertionError) as error:  # Optuna's, for a damaged file
                where = folder and folder / TRIALS
                raise ScenarioError(f"{where}: is not a file of Optuna's ({error!r}); give another folder") from None
        yield Search(study, space, wishes, seed)
    finally:
        optuna.logging.set_verbosity(level)


def _storage(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    # The folder is locked already; Optuna's own lock would outlive a killed process.
    return JournalStorage(JournalFileBackend(str(path), lock_obj=cast(Any, _NoLock())))


class _NoLock:
    """A lock for Optuna's file that is always free."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _sampler(seed: int, number: int) -> Any:
    import numpy as np
    from optuna.samplers import TPESampler

    own = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    return TPESampler(seed=own, multivariate=True, n_startup_trials=AT_RANDOM)


def _pruner() -> Any:
    from optuna.pruners import WilcoxonPruner

    return WilcoxonPruner(n_startup_steps=FEWEST_WINDOWS)


@contextmanager
def _quietly() -> Iterator[None]:
    """A context without Optuna's warnings about experimental features, and about what is told again after a kill."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "The reported value is ignored", UserWarning)
        yield


def _setting(trial: FrozenTrial) -> TriedSetting:
    from optuna.trial import TrialState

    return TriedSetting(
        trial.number,
        trial.user_attrs[_VALUES],
        trial.user_attrs[_ROWS],
        trial.user_attrs.get(_ERROR),
        trial.state == TrialState.PRUNED,
    )
