"""Tuning: values of a scenario's keys that serve a wish best, chosen on some windows and judged on others.

course    from the wishes to what was found: `tune`
wishes    outcomes to make large or small, and limits
space     the keys that are varied, and their values
cases     the windows to train on, and those to test on · drawing: how they are drawn
search    asking Optuna and telling it · racing: which settings are dropped early
runs      the runs of settings, on all cores
gain      what a setting gains over the defaults, with intervals
tuned     what was found, as an object, text and a scenario file
kept      the folder that holds all of it
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
