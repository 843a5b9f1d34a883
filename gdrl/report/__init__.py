"""One self-contained page that draws what the artifacts of a run already say."""

from gdrl.report.page import write_report

__all__ = ["write_report"]
