"""The words that keys of a scenario and options accept: one list for schemas, command line and completion."""

from __future__ import annotations

from typing import Literal

Scaling = Literal["thin", "floor"]
Arrivals = Literal["poisson", "poisson-count", "even", "clumped"]
Start = Literal["warm", "configured"]
ServiceTimes = Literal["lognormal", "mean"]
Removal = Literal["drain", "lose"]
WhenFull = Literal["replace", "wait"]
Dispatch = Literal["central", "eager"]
Drop = Literal["request", "batch", "deadline"]
Engine = Literal["auto", "simpy", "compiled"]
Records = Literal["all", "sample", "none"]
Journal = Literal["lean", "full"]

Model = Literal["lstm", "lstm-quantile", "quantile-gbm"]
"""The kinds of predictors that can be trained."""

Source = Literal["gateway", "prometheus"]
"""Where policies get their observations in a live run."""

LIVE_POLICY = "foresight"
"""The default policy of commands that run live: the safer of `ipa` and `foresight` if the load is unknown
(docs/which-policy.md). A simulation has the scenario's default."""

Sharing = Literal["quota", "priority", "water-filling", "objective"]

FileKind = Literal["pipeline", "scenario", "deployment", "fleet", "study", "published"]
SchemaOf = Literal["pipeline", "scenario", "deployment", "fleet", "study", "published", "tables"]
"""The kinds of files: the values of their key `kind`."""
