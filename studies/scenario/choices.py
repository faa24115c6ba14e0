"""The words that keys of a scenario and options may hold: one list for the schemas, the command line and completion."""

from __future__ import annotations

from typing import Literal

TimeUnit = Literal["s", "ms", "us", "ns", "min"]
Scaling = Literal["floor", "thin"]
Arrivals = Literal["poisson", "poisson-count", "even", "clumped"]
Start = Literal["warm", "configured"]
ServiceTimes = Literal["lognormal", "mean"]
Resize = Literal["rollout", "in_place"]
Removal = Literal["drain", "lose"]
Interference = Literal["none", "measured"]
Dispatch = Literal["central", "eager"]
Drop = Literal["request", "batch", "deadline"]
Engine = Literal["auto", "simpy", "compiled"]
Records = Literal["all", "sample", "none"]
Journal = Literal["lean", "full"]
Sample = Literal["grid", "list", "random", "lhs", "sobol", "saltelli"]

Model = Literal["lstm", "lstm-quantile", "quantile-gbm", "seasonal-gbm"]
"""What can be trained to predict a load."""

Source = Literal["gateway", "prometheus"]
"""Where policies get their observations in a live run."""

LIVE_POLICY = "foresight"
"""The policy of commands that run live, where neither an option nor a file names one: the safer of `ipa` and
`foresight` where nothing is known of the load (docs/which-policy.md). A simulation has the scenario's default."""

FileKind = Literal["pipeline", "scenario", "study", "published"]
"""What a file may be: its key `kind`."""
