from .course import Swept as Swept
from .course import conduct as conduct
from .course import prepare as prepare
from .course import sweep as sweep
from .plan import Plan as Plan
from .trial import Trial as Trial
from .trial import trial as trial
