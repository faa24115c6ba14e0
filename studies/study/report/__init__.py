"""The report of a study: one HTML page with counterparts of the published figures.

page        the page, with its style and its script
figure      what a figure is; the look of each system
overview    the loads, and the times of decisions
means       cost, accuracy and violations of systems and of named points
bars        bars side by side
timelines   what the systems wanted over time
trade_off   accuracy against cost: sweeps as curves, systems as points
latencies   the distribution of the latency, by request and by second
"""

from ipa.studies.study.report.page import figures, render

__all__ = ["figures", "render"]
