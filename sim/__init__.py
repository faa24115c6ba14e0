"""The model: a pipeline of queues, batches and replicas under load.

rules          the model's rules as pure functions · model: what a run is given · streams: keyed random draws
environment, replicas, stage, eager, engine: the SimPy model
cluster        what a control step sees and does · measuring: the costly part of it · simulate: a run under a policy
records        what a run leaves · laws: what must hold of it · tables, summary: its figures
"""

from sim.laws import LawError
from sim.model import World, stage_models
from sim.records import OUTCOMES, Records
from sim.simulate import Control, Simulated, simulate_policy
from sim.streams import stream
from sim.summary import summarise
from sim.tables import decisions_table, replicas_table, requests_table, stages_table

__all__ = [
    "OUTCOMES",
    "Control",
    "LawError",
    "Records",
    "Simulated",
    "World",
    "decisions_table",
    "replicas_table",
    "requests_table",
    "simulate_policy",
    "stage_models",
    "stages_table",
    "stream",
    "summarise",
]
