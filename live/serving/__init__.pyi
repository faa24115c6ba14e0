from . import logs as logs
from .metrics import TABLE as TABLE
from .metrics import Metric as Metric
from .metrics import ProcessMetrics as ProcessMetrics
