"""Policies: what decides, and the loop that lets it.

interface           what a policy sees and answers, and what carries it out: the seam that everything hangs on
quick               how these values are made quickly
controller          the loop · journal: decisions as JSON lines, and their replay
configurations      what a decision may be · guards/: what holds for any policy · time_limit: its time
reasoned            why a decision was made, where it is asked
registry            policies by name · plugins: from packages and files · checks: what a parameter may be
manual              what a policy and its parameters mean · ranges: what values of them are worth trying
ipa, oracle, scale_only, switch_only: policies that ask the optimiser · optimising_policy: what they share
hpa, kpa, ray, inferline, faro, planner, rate: policies that change replicas · scaler: what they share
inferline_plan, faro_utility: what a plan and a utility are
foresight/          our own: the mean load, insured against surges
loki, infadapter: policies that mix variants · mixing: what they share
static              never decides anew: the yardstick · variants: variants by name
predictors/         forecasts of the load · forecast: what they answer · seasons: the same time of the days before
optimiser/          the integer programme
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
