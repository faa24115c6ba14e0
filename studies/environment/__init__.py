"""The control loop as a Gymnasium environment: one step is one control interval, decided by whoever learns.

control_loop  the environment, and how it is made, alone or several at once
encoding      observations and actions as arrays
reward        what a step is worth
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
