from . import cluster as cluster
from . import load as load
from . import run as run
