from . import page as page
from . import wording as wording
from .backends import live_runner as live_runner
from .folder import read_manifest as read_manifest
from .plan import plan as plan
from .rollouts import KINDS as KINDS
from .study import stored as stored
from .study import validate as validate
