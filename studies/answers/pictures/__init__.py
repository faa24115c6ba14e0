"""The pictures of what a table of runs says.

front       the Pareto front of two or three outcomes
effects     what every key does to an outcome
heat_map    an outcome over two keys
ranking     which key matters most
parallel    all keys and outcomes of many settings, to brush over
wording     figures and settings in the text of plots
"""

from ipa.studies.answers.pictures.effects import effects
from ipa.studies.answers.pictures.front import front
from ipa.studies.answers.pictures.heat_map import heat_map
from ipa.studies.answers.pictures.parallel import parallel
from ipa.studies.answers.pictures.ranking import ranking

__all__ = ["effects", "front", "heat_map", "parallel", "ranking"]
