"""A pipeline's profiles, shown: `ipa profile show`.

numbers  the numbers of a profile and the marks that say where each comes from
table    in the terminal, and as plain data · page: as one HTML page, `render` · plots: the plots on it
"""

from ipa.studies.profile.table import StageTable, as_dict, notes

__all__ = ["StageTable", "as_dict", "notes"]
