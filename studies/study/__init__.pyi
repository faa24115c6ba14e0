from .course import conduct as conduct
from .course import prepare as prepare
from .course import run_study as run_study
from .found import Found as Found
from .plan import Plan as Plan
from .summary import as_dict as as_dict
from .summary import brief as brief
