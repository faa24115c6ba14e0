"""The decision before the first request, which says what is ready when a run begins."""

from __future__ import annotations

from collections.abc import Mapping

from ipa.policies import NO_LATENCY, Applied, Configuration, Observation, StageObservation, lightest_configuration
from ipa.profiles import Pipeline
from ipa.sim.backend import nothing_counted
from ipa.sim.load_view import LoadView


class Opening:
    """The backend of the decision before the first request: nothing runs yet, and what is decided is ready at once."""

    def __init__(
        self,
        pipeline: Pipeline,
        load: LoadView,
        duration_s: float,
        limit_cores: int | None,
        fields: set[str],
        seed: int,
    ) -> None:
        self.configuration: Configuration = lightest_configuration(pipeline)
        future_rps = load.after(0.0, duration_s) if "future_rps" in fields else None
        self._observation = Observation(
            pipeline=pipeline.name,
            step=0,
            seed=seed,
            time_s=0.0,
            load_rps=load.before(0.0),
            sample_age_s=0.0,
            limit_cores=limit_cores,
            stages=self._idle_stages(fields),
            latency=NO_LATENCY if "latency" in fields else None,
            future_rps=future_rps,
            past_rps=load.past(0, 0.0) if "past_rps" in fields else None,
            clock_s=load.clock_s(0.0),
            seasons_rps=load.seasons(0.0) if "seasons_rps" in fields else None,
        )

    def observe(self) -> Observation:
        return self._observation

    def apply(self, configuration: Configuration) -> Applied:
        self.configuration = configuration
        return Applied(accepted=True)

    def _idle_stages(self, fields: set[str]) -> Mapping[str, StageObservation]:
        return {name: nothing_counted(wanted, {}, fields) for name, wanted in self.configuration.items()}
