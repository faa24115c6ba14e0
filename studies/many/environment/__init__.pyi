from .control_loop import ENVIRONMENT as ENVIRONMENT
from .control_loop import ControlLoop as ControlLoop
from .control_loop import make as make
from .control_loop import make_vec as make_vec
from .encoding import Encoding as Encoding
from .reward import PENALTY as PENALTY
