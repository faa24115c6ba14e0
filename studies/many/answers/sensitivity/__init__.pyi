from .ranking import Importance as Importance
from .ranking import Ranking as Ranking
from .ranking import rank as rank
