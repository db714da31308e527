"""The page of a backtest: plain HTML without scripts, made from the figures of ``policy.backtest.report``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from sidecar.policy.language import readable_moment

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def percent(share: float | None) -> str:
    """Return a share as a percentage, or a dash where there is none."""
    return "-" if share is None else f"{share:.2%}"


def points(share: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return "-" if share is None else f"{100 * share:+.2f} points"


_TEMPLATES.filters.update(percent=percent, points=points)


def page(figures: Mapping[str, Any]) -> str:
    """Return the page for the figures of a backtest."""
    span = ""
    if figures["from"] is not None:
        span = f"{readable_moment(figures['from'])} to {readable_moment(figures['to'])}"
    return _TEMPLATES.get_template("report.html").render(**figures, span=span)
