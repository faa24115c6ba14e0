"""The SimPy engine: the model as events, one at a time. Slower than the compiled engine, and easier to read.

`engine` runs `stage`s (`eager`: of eager dispatch) with their `replica_set`s in one `environment`. What a stage has
served goes on by a flow: `chain` or `graph`. `logs` keep what has happened.
"""

from ipa.sim.events.engine import SimPyEngine

__all__ = ["SimPyEngine"]
