from .columns import FACTS as FACTS
from .formats import read as read
from .notation import NO_HINTS as NO_HINTS
from .notation import TimeHints as TimeHints
from .prometheus import Filling as Filling
from .prometheus import Steps as Steps
from .prometheus import answered_series as answered_series
from .prometheus import trace_of_series as trace_of_series
