"""A study: named systems on several loads, over seeds and with sweeps, from one file to tables and a report.

schema           the study file
plan             its runs, each with its scenario, checked before any runs
course           from the file to the folder and back: `run_study`, `prepare`, `conduct`, `read_study`
runner           running what is missing, on all cores
store            the finished runs, kept as they come
kept_plan        the plan, kept with them
outcome          what is kept of a run
failures         runs that failed, and the study without them
findings         the finished runs by cell
found            everything a study has found
shown            the same with tables and figures, as notebooks show it
compare          the first system against each of the others
headline         what a curve of settings gains at equal cost, and saves at equal accuracy
answered         what the runs say of systems and sweeps: winners, fronts, which key matters
bounds           how far every system is from the one that bounds them
forecasts        how good forecasts were
decision_times   how long a decision takes
published        published figures beside ours
published_file   the file of published figures
tables           the findings as parquet tables
sheets           the findings as tables of text
markdown         the findings as a Markdown file
report           the findings as one HTML page
summary          the findings as JSON and in the terminal
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
