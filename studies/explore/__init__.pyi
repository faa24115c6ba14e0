from .points import about as about
from .questions import ExplorerQuestion as ExplorerQuestion
from .server import Explorer as Explorer
