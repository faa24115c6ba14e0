from .aims import OUTCOMES as OUTCOMES
from .aims import wishes_of as wishes_of
from .options import Drawing as Drawing
from .options import Options as Options
from .run import tune as tune
from .tuned import Best as Best
from .tuned import Tuned as Tuned
from .tuned import as_file as as_file
