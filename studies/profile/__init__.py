"""A pipeline's profiles, shown in the terminal and as one HTML page.

numbers   the numbers of a profile, and the marks that say where each comes from
table     in the terminal, and as plain data
page      as one HTML page: `render` and `write`
plots     the plots on it
by_rule   what the file does not say, and the rules do
check     what a pipeline can do, and what is likely to surprise
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
