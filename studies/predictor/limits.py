"""How far training goes at most."""

EPOCHS = 60
"""Passes of a network over its samples."""

TREES = 170
"""Trees for each quantile."""
