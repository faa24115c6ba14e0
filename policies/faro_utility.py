"""Faro's utility: how well a stage keeps its SLO with so many replicas, under each of several loads.

Source: Jeon et al., A House United Within Itself: SLO-Awareness for On-Premises Containerized ML Inference Clusters via
Faro, EuroSys 2025. With L the latency that a share of the requests (99 %) keeps:

    utility = min(1, SLO / L) ^ exponent

*Latency*: that of an M/D/c queue, whose waits are about half of those of M/M/c (Erlang C): the waiting time that is
exceeded with probability 1 - p is ln(C / (1 - p)) / (n mu - lambda) / 2 where C > 1 - p, else 0. *Relaxed*, so that
more replicas help even where there are far too few: beyond a utilisation of 95 %, the utility is that at 95 %, times
the load there over the load. *Start-up*: replicas that do not exist yet count only for what is left of the horizon
after they have started.

Two things are not the paper's. It lets the latency grow beyond 95 % and bounds the utility by 1 after that: with many
replicas, which hardly wait at 95 %, a stage with twice the load that it can carry would still be perfect. And here are
batches: they come at load / b and take b / throughput; to the wait come the time in which a batch fills at full
capacity (the batch timeout, if this stage is the bottleneck) and the batch's p99.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log, sqrt

MOST_UTILISATION = 0.95
TOLERANCE = 1e-4
"""Of the mean utility: what a replica must bring to be kept."""

SURELY_IDLE = 4.0
"""From a + 4 sqrt(a) + 3 servers on, an offered load a waits with a probability below 1e-4."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a stage is judged on: the sampled loads [rps], the SLO, the share that must keep it, and the exponent."""

    samples_rps: Sequence[float]
    slo_s: float
    percentile: float
    exponent: float


@dataclass(slots=True)
class StageUtility:
    """The mean utility of a stage over the sampled loads, by its replicas.

    `throughput_rps`, `batch`, `service_s`: of one replica. `fill_s`: from a load that a stage can carry to the time in
    which a batch fills. `ready`: the replicas that serve already. `late_share`: the share of the horizon that new ones
    need to start.
    """

    load: Load
    throughput_rps: float
    batch: int
    service_s: float
    fill_s: Callable[[float], float]
    ready: int = 0
    late_share: float = 0.0
    _steady: dict[int, float] = field(default_factory=dict, repr=False)

    def at(self, replicas: int) -> float:
        """The mean utility over the horizon; never falls with the replicas."""
        if replicas <= self.ready or not self.ready:
            return self._of(replicas)
        return self.late_share * self._of(self.ready) + (1 - self.late_share) * self._of(replicas)

    def fewest(self, least: int, most: int) -> int:
        """The fewest replicas with the utility of the most, up to the tolerance."""
        enough = self.at(most) - TOLERANCE
        return least + bisect_left(range(least, most), True, key=lambda count: self.at(count) >= enough)

    def _of(self, replicas: int) -> float:
        """The mean utility of replicas that all serve."""
        if replicas not in self._steady:
            most_rps = MOST_UTILISATION * replicas * self.throughput_rps
            at_most = self._keeping(most_rps, replicas)
            total = sum(
                at_most * most_rps / load_rps if load_rps > most_rps else self._keeping(load_rps, replicas)
                for load_rps in self.load.samples_rps
            )
            self._steady[replicas] = total / len(self.load.samples_rps)
        return self._steady[replicas]

    def _keeping(self, load_rps: float, replicas: int) -> float:
        """The utility under a load that the replicas carry."""
        fill_s = self.fill_s(replicas * self.throughput_rps)
        queued_s = wait_s(load_rps / self.batch, self.throughput_rps / self.batch, replicas, self.load.percentile)
        late_s = fill_s + queued_s + self.service_s
        return 1.0 if late_s <= self.load.slo_s else (self.load.slo_s / late_s) ** self.load.exponent


def wait_s(arrival_rate: float, service_rate: float, servers: int, percentile: float) -> float:
    """The wait in an M/D/c queue that a share of the customers does not exceed [s]; rates per second, below capacity.

    Half of that in an M/M/c queue.
    """
    offered = arrival_rate / service_rate
    if servers >= offered + SURELY_IDLE * sqrt(offered) + 3:
        return 0.0
    waiting = erlang_c(servers, offered)
    beyond = 1 - percentile
    if waiting <= beyond:
        return 0.0
    return log(waiting / beyond) / (servers * service_rate - arrival_rate) / 2


def erlang_c(servers: int, offered: float) -> float:
    """The probability that a customer has to wait in an M/M/c queue; `offered`, in servers, is below `servers`."""
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))
