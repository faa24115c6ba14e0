"""Validation: is the world as the simulator says? Live runs against the simulation of the same, figure by figure.

plan           which seconds are compared, and which calibrate · folder: the runs on disk · backends: what runs live
study          the course of it all · outcome: what was found
calibration    what a live run takes beyond the profile · conditions: whether it was a fair run
measures       the figures · windows: within which part of a run, by utilisation · comparison: errors and verdicts
agreement      of decisions and replicas · open_loop: a simulation with the decisions made live
wording        the words for people · page, curves: the same as HTML
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
