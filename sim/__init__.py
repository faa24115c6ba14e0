"""The model: a pipeline of queues, batches and replicas under load.

rules       the model's rules as pure functions, obeyed by both engines and by live mode
model       what a run is given: stages, service times, the world's settings · streams: keyed random draws
interface   what both engines have in common · engines: the choice between them
events/     the SimPy engine · compiled/: the same rules, compiled
simulate    a run under a policy · opening: the decision before it · stepping: a run that is stepped through
backend     what a control step sees and does · load_view: the load it sees · measuring: the costly part
lanes       how a mix of variants takes effect · merged: a stage of lanes, as one
records     what a run leaves behind · laws: what must hold of it · tables: the same as data frames
resizes     how the cores of replicas have changed in place
totals      its figures, from records or as it goes · balance: laws of totals · exact: a sum of many values
sample      records of some requests of a long run · spent: where the time of all went
intervals   counts of all requests in intervals of time · bins: the bins of time
histogram   quantiles of many values
planned     what was decided over a run · summary: all figures under stable names
sources     digests of source files
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
