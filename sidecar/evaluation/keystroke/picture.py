"""One DET chart as a file of its own: an SVG with its colours and names in it, for a page that has no style sheet."""

from collections.abc import Sequence

from markupsafe import escape

from sidecar.errors import BadRequest
from sidecar.evaluation.keystroke import charts
from sidecar.evaluation.keystroke.report import styles_of
from sidecar.evaluation.keystroke.run import Part

_WIDTH, _HEIGHT, _LEGEND, _LINE = 460, 430, 26, 18
_STYLE = """
.paper { fill: #fbfaf7; } text { font: 11.5px system-ui, sans-serif; fill: #5d676e; } .name { fill: #1d2327; }
.grid { stroke: #e6e3da; } .guide { stroke: #5d676e; opacity: .45; stroke-dasharray: 4 4; fill: none; }
.curve { fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linejoin: round; } .curve.c0 { stroke-width: 3; }
.dot { fill: currentColor; stroke: #fbfaf7; stroke-width: .8; }
.c0 { color: #00796b; } .c1 { color: #30363b; } .c2 { color: #c25b12; } .c3 { color: #7a4fc0; }
.c4 { color: #b38a00; } .c5 { color: #2f77c9; } .c6 { color: #c2417c; }
"""


def det_picture(parts: Sequence[Part]) -> str:
    """The DET chart of the first setting that has figures. Raises BadRequest where none has."""
    measured = [part for part in parts if part.measured]
    if not measured:
        raise BadRequest("nothing was measured, so there is no DET curve to draw")
    first = measured[0].row
    chosen = [part for part in measured if all(part.row[key] == first[key] for key in ("set", "setting"))]
    styles = styles_of(chosen)
    chosen.sort(key=lambda part: list(styles).index(str(part.row["detector"])))
    lines = [
        charts.Line(str(part.row["detector"]), styles[str(part.row["detector"])], part.measured)
        for part in chosen
        if part.measured
    ]
    title = f"{first['set']} {first['setting']}: {first['subjects']} people, one threshold for all (dots: gEER)"
    height = _HEIGHT + _LEGEND + 6 + _LINE * len(lines)
    chart = str(charts.det(lines)).replace("<svg ", f'<svg y="{_LEGEND}" width="{_WIDTH}" height="{_HEIGHT}" ', 1)
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        f'<style>{_STYLE}</style><rect class="paper" width="{_WIDTH}" height="{height}" rx="10"/>',
        f'<text class="name" x="{_WIDTH / 2:g}" y="18" text-anchor="middle">{escape(title)}</text>{chart}',
        *(_named(line, part, number) for number, (line, part) in enumerate(zip(lines, chosen, strict=True))),
        "</svg>\n",
    ]
    return "".join(found)


def _named(line: charts.Line, part: Part, number: int) -> str:
    y = _HEIGHT + _LEGEND + 10 + _LINE * number
    words = f"{line.name}: EER {_percent(part.row['eer'])}, gEER {_percent(part.row['geer'])}"
    return (
        f'<path class="curve {line.style}" d="M60 {y}h26"/><text class="name" x="94" y="{y + 4}">{escape(words)}</text>'
    )


def _percent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "-"
