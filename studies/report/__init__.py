"""The report of a run or a comparison: one HTML page that needs nothing else.

page        all of it on one page: `render`
shown       what a notebook or a program has of it
state       the state of a run (stable, backlogged, overloaded) by a stated rule
verdict     the state of every policy in words
headline    the table of means, and the sentences under it
groups      the runs of a report by policy, each with its label and colour
trade_off   accuracy against cost
timelines   load, forecast and cores over time
bands       what was decided for each stage over time
reasons     why each decision was made, in a few lines
latencies   latencies and violations over time, and the distribution of the latency
passages    where each second of a request went, computed
slowest     the mean latency and the slowest requests by where their seconds went
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
