from . import pages as pages
from .found import Frontier as Frontier
from .found import Over as Over
from .found import Plan as Plan
from .found import frontier as frontier
from .found import loads_of as loads_of
from .found import over as over
