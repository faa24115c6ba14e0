"""Figure 16 of the publication, with what its live system may have done otherwise than the model.

settings     what is changed, one thing at a time
late         forecasts from metrics that come late
runs         the runs and what they lost · __main__: the tables
"""
