"""The page of a backtest: plain HTML without scripts, made from the figures of ``policy.backtest.report``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from sidecar.policy.backtest import percent, points
from sidecar.policy.language import readable_moment

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


_TEMPLATES.filters.update(percent=percent, points=points)


def page(figures: Mapping[str, Any]) -> str:
    """Return the page for the figures of a backtest."""
    span = ""
    if figures["from"] is not None:
        span = f"{readable_moment(figures['from'])} to {readable_moment(figures['to'])}"
    named = {"people": {}} | dict(figures)
    return _TEMPLATES.get_template("report.html").render(**named, span=span)
