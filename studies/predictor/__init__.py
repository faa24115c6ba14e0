"""How good forecasts are, and the training of those that learn.

scores      what a forecast is worth: SMAPE, pinball loss, under-predictions, coverage
cases       the moments of a load at which forecasts are made: what was seen, and what came
choice      predictors as a person names them
evaluate    all forecasts of a predictor, and their scores
table       the scores as rows of text, in the terminal and in files
page        forecasts over the load, as one HTML page

samples     histories of a load and what followed · sets: as what a model sees and answers
training    fitting, calibrating, and the card · fit_network: with Keras · fit_trees: with scikit-learn
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
