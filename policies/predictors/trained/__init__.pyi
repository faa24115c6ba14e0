from . import features as features
from .features import Floats as Floats
from .models import SHAPES as SHAPES
from .models import Model as Model
from .models import load as load
from .models import shipped as shipped
from .models import write_npz as write_npz
from .network import forward_pass as forward_pass
