"""The pictures of what a table of runs says."""

from ipa.studies.answers.pictures.effects import effects
from ipa.studies.answers.pictures.front import front
from ipa.studies.answers.pictures.heat_map import heat_map
from ipa.studies.answers.pictures.parallel import parallel
from ipa.studies.answers.pictures.ranking import ranking

__all__ = ["effects", "front", "heat_map", "parallel", "ranking"]
