from .bounds import Bounds as Bounds
from .bounds import Ceiling as Ceiling
from .bounds import CoreLimit as CoreLimit
from .steady import Steadiness as Steadiness
from .steady import Steady as Steady
