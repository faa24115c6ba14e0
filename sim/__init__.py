"""The model: a pipeline of queues, batches and replicas under load.

rules          the model's rules as pure functions · model: what a run is given · streams: keyed random draws
engines        the choice of an engine, and the face of both · compiled/: the compiled engine
environment, replicas, stage, eager, logs, engine: the SimPy engine
cluster        what a control step sees and does · measuring: the costly part of it · simulate: a run under a policy
records        what a run leaves · laws: what must hold of it · tables: the same for people
totals, planned, summary: its figures, from records or without any · balance: the laws that totals can be held to
histogram      quantiles of very many values · sources: digests of source files
"""

from ipa.sim.engines import EngineError
from ipa.sim.engines import choose as choose_engine
from ipa.sim.laws import LawError
from ipa.sim.model import World, stage_models
from ipa.sim.records import OUTCOMES, Records
from ipa.sim.simulate import Control, Simulated, simulate_policy
from ipa.sim.streams import stream
from ipa.sim.summary import summarise, summary_of
from ipa.sim.tables import decisions_table, replicas_table, requests_table, stages_table

__all__ = [
    "OUTCOMES",
    "Control",
    "EngineError",
    "LawError",
    "Records",
    "Simulated",
    "World",
    "choose_engine",
    "decisions_table",
    "replicas_table",
    "requests_table",
    "simulate_policy",
    "stage_models",
    "stages_table",
    "stream",
    "summarise",
    "summary_of",
]
