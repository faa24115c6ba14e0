"""The model: a pipeline of queues, batches and replicas under load.

rules          the model's rules as pure functions · model: what a run is given · streams: keyed random draws
engines        the choice of an engine, and the face of both · compiled/: the compiled engine
environment, replicas, stage, eager, logs, engine: the SimPy engine
cluster        what a control step sees and does · measuring: the costly part of it · simulate: a run under a policy
records        what a run leaves · laws: what must hold of it · tables: the same for people
totals, planned, summary: its figures, from records or without any · balance: the laws that totals can be held to
histogram      quantiles of very many values · sources: digests of source files
"""

from sim.engines import EngineError
from sim.engines import choose as choose_engine
from sim.laws import LawError
from sim.model import World, stage_models
from sim.records import OUTCOMES, Records
from sim.simulate import Control, Simulated, simulate_policy
from sim.streams import stream
from sim.summary import summarise, summary_of
from sim.tables import decisions_table, replicas_table, requests_table, stages_table

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
