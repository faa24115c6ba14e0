from .aims import OUTCOMES as OUTCOMES
from .aims import wishes_of as wishes_of
from .options import TuningOptions as TuningOptions
from .run import tune as tune
from .tuned import Best as Best
from .tuned import Tuned as Tuned
from .tuned import as_file as as_file
from .tuned import lines as lines
