"""What a table of runs says: which settings differ, which wins, what it costs, and which key matters most.

shown         what is asked: `answer`, and what notebooks and programs have of the answers
found         everything that was found
outcome       outcomes by their columns: titles, units, and whether less is better
settings      the table by setting, and the settings that one chooses among
differences   paired differences with their intervals, and winners
front         Pareto fronts, and how sure they are
effects       means by the value of a key, or of two
sensitivity   which key matters most
headline      what was found, in words
sheets        the best settings as tables
pictures      plots of all that
pages         the page, and its parts
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
