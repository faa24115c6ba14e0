"""Which key matters most for an outcome, by the method that the sample allows.

ranking     the method chosen, and the keys in order
grid        shares of the variance, exact on a full grid
sobol       Sobol's indices of a sample of Saltelli's, by SALib
pawn        PAWN: how far a key's value moves the distribution
surrogate   permutation importance in a surrogate, for what is left
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
