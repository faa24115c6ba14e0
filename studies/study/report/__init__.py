"""The report of a study: one HTML page with counterparts of the published figures."""

from ipa.studies.study.report.page import figures, render

__all__ = ["figures", "render"]
