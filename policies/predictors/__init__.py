"""Predictors of the load, from the last windows or from the future itself.

Each answers with a distribution of the load of the busiest second within a horizon (`Forecast`). Windows are counted
back from the newest second. Seconds without a sample (NaN) are skipped; without any sample there is no forecast.
"""

from ipa.policies.forecast import LEVELS
from ipa.policies.predictors.learned import Lstm, LstmQuantile, QuantileGbm
from ipa.policies.predictors.outlook import (
    DEFAULT_PREDICTOR,
    OUTLOOK_PARAMETERS,
    PREDICTORS,
    Outlook,
    create_predictor,
    describe_predictor,
)
from ipa.policies.predictors.simple import Ewma, Holt, Max, Mean, Oracle, Poisson, Reactive, Shipped, window_loads

__all__ = [
    "DEFAULT_PREDICTOR",
    "LEVELS",
    "OUTLOOK_PARAMETERS",
    "PREDICTORS",
    "Ewma",
    "Holt",
    "Lstm",
    "LstmQuantile",
    "Max",
    "Mean",
    "Oracle",
    "Outlook",
    "Poisson",
    "QuantileGbm",
    "Reactive",
    "Shipped",
    "create_predictor",
    "describe_predictor",
    "window_loads",
]
