from .page import render as render
from .page import write as write
from .table import StageTable as StageTable
from .table import as_dict as as_dict
from .table import notes as notes
