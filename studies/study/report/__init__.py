"""The report of a study: one HTML page with counterparts of the published figures.

figure      what a figure is; each system's colour and dash · page: the page, with its style and its script
overview    the loads and the times of decisions
means, timelines, plane, latencies: the figures of a pipeline
"""
