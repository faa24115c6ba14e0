from . import draws as draws
from .items import GraphEngine as GraphEngine
from .items import ItemLog as ItemLog
from .items import collect_records as collect_records
from .measuring import MeasuringItems as MeasuringItems
from .routes import NO_EDGE as NO_EDGE
from .routes import Routes as Routes
from .routes import Way as Way
