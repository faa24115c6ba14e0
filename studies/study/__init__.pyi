from .conduct import conduct as conduct
from .conduct import prepare as prepare
from .summary import as_dict as as_dict
from .summary import brief as brief
