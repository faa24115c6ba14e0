"""Predictors of the load, from the last windows or from the future itself.

Each answers with a distribution of the load of the busiest second within a horizon (`Forecast`). Windows are counted
back from the newest second. Seconds without a sample (NaN) are skipped; without any sample there is no forecast.
"""

from ipa.policies.forecast import LEVELS
from ipa.policies.predictors.auto import Auto
from ipa.policies.predictors.future import Oracle
from ipa.policies.predictors.learned import Lstm, LstmQuantile, QuantileGbm, SeasonalGbm
from ipa.policies.predictors.outlook import OUTLOOK_PARAMETERS, Outlook
from ipa.policies.predictors.poisson import Poisson
from ipa.policies.predictors.recent import Max, Mean, Reactive
from ipa.policies.predictors.registry import DEFAULT_PREDICTOR, PREDICTORS, create_predictor, describe_predictor
from ipa.policies.predictors.shipped import Shipped
from ipa.policies.predictors.smoothing import Ewma, Holt
from ipa.policies.predictors.windows import window_loads

__all__ = [
    "DEFAULT_PREDICTOR",
    "LEVELS",
    "OUTLOOK_PARAMETERS",
    "PREDICTORS",
    "Auto",
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
    "SeasonalGbm",
    "Shipped",
    "create_predictor",
    "describe_predictor",
    "window_loads",
]
