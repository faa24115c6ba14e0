from .points import about as about
from .questions import Question as Question
from .server import Explorer as Explorer
