from .beside_times import numbers_beside as numbers_beside
from .columns import FACTS as FACTS
from .formats import read as read
from .prometheus import Filling as Filling
from .prometheus import Steps as Steps
from .prometheus import answered_series as answered_series
from .prometheus import trace_of_series as trace_of_series
