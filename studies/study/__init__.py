"""Studies: named systems on several loads, over seeds and with sweeps, from one file to tables and a report.

schema    a study file · plan: its runs, checked, each with its scenario · runner: runs what is missing, on all cores
outcome   what is kept of a run · store: the finished runs, kept as they come · findings: them by cell
compare, headline, published, forecasts, decision_times: what is asked of them · found: all answers together
tables, sheets/, markdown, summary, report/: how the answers are written · conduct: from the file to the folder
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
