"""Validation: live runs against simulations of the same, figure by figure.

experiment    which seconds of the load are compared, and which others calibrate
backends      what runs a scenario live
course        the course of it all: `validate`, `conduct` and `read_validation`
folder        the runs on disk
calibration   what a live run takes beyond the profile · busy: the cores that serve at a moment
conditions    whether a live run was a fair one
windows       the windows of a run, by utilisation
measures      the figures that are compared
verdicts      errors, spreads and verdicts
agreement     of decisions, and of replicas over time
rollouts      how long start-ups, rollouts and stops took
open_loop     a simulation with the decisions made live
outcome       what was found
shown         the same with a table and figures, as notebooks show it
wording       what was found, in words and rows of text
page          what was found, as one HTML page
curves        the plots on it
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
