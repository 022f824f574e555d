"""Charts as SVG for a page: Vega-Lite's, drawn by vl-convert without a browser.

Colours are names of the page's style sheet, so a chart follows its page into the dark. All positions are given and no
text is measured, so the same numbers give the same SVG whatever fonts a computer has. Labels are put in afterwards:
vl-convert never sees text that others wrote, of which some characters make it end the process. What a chart says to
people who can't see it stands in the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple
from unicodedata import east_asian_width

import vl_convert

from pulumi_ampersand.terminal import one_line

_VEGA_LITE: Final = "v5.20"
_WIDTH: Final = 420
"""Units from edge to edge; small enough to be read on a phone, to whose width a page scales it."""
_LABELS: Final = 130
_TOTALS: Final = 54
_ROW: Final = 26
_LABEL_CHARACTERS: Final = 16
_COLUMNS_HEIGHT: Final = 150
_CONFIG: Final = {
    "aria": False,
    "background": None,
    "view": {"stroke": None},
    "text": {"fontSize": 13, "font": "inherit", "fill": "var(--text)"},
}


class Series(NamedTuple):
    """One part of each bar.

    Attributes:
        name: What it counts.
        colour: A colour of the style sheet, without the dashes.
    """

    name: str
    colour: str


class Bar(NamedTuple):
    """A bar of several parts.

    Attributes:
        label: What it is about: any text that HTML may hold, not escaped.
        numbers: How much of each series, by name.
    """

    label: str
    numbers: Mapping[str, int]


def rows(bars: Sequence[Bar], series: Sequence[Series]) -> str:
    """Bars that lie below each other, each with its label on the left and its total at its end."""
    plot = _WIDTH - _LABELS - _TOTALS
    place = {"field": "row", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0.35, "paddingOuter": 0.18}}
    totals = [sum(bar.numbers.values()) for bar in bars]
    labels = [
        {"row": number, "label": _placeholder(number), "total": total, "shown": f"{total:,}"}
        for number, total in enumerate(totals)
    ]
    length = {"type": "quantitative", "axis": None, "scale": {"domain": [0, max([1, *totals])]}}
    return _svg(
        {
            "width": plot,
            "height": _ROW * len(bars),
            "padding": {"left": _LABELS, "right": _TOTALS, "top": 2, "bottom": 2},
            "encoding": {"y": place},
            "layer": [
                {
                    "data": {"values": _pieces(bars, series)},
                    "mark": {"type": "bar"},
                    "encoding": {
                        "x": {"field": "from", **length},
                        "x2": {"field": "to"},
                        "color": _colours(series),
                    },
                },
                {
                    "data": {"values": labels},
                    "mark": {"type": "text", "align": "right", "baseline": "middle", "dx": -10},
                    "encoding": {"x": {"value": 0}, "text": {"field": "label", "type": "nominal"}},
                },
                {
                    "data": {"values": labels},
                    "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 8, "fill": "var(--muted)"},
                    "encoding": {
                        "x": {"field": "total", **length},
                        "text": {"field": "shown", "type": "nominal"},
                    },
                },
            ],
        },
        bars,
    )


def columns(bars: Sequence[Bar], series: Sequence[Series], every: int) -> str:
    """Bars that stand beside each other, each with its total above, if there is one.

    Args:
        bars: The bars, from left to right.
        series: Their parts, from the bottom.
        every: How many bars share a label below them: the first one's.
    """
    place = {"field": "row", "type": "ordinal", "axis": None, "scale": {"paddingInner": 0.22, "paddingOuter": 0.1}}
    totals = [sum(bar.numbers.values()) for bar in bars]
    labels = [
        {
            "row": number,
            "label": _placeholder(number) if number % every == 0 else "",
            "total": total,
            "shown": f"{total:,}" if total else "",
        }
        for number, total in enumerate(totals)
    ]
    height = {"type": "quantitative", "axis": None, "scale": {"domain": [0, max([1, *totals])]}}
    return _svg(
        {
            "width": _WIDTH - 28,
            "height": _COLUMNS_HEIGHT,
            "padding": {"left": 14, "right": 14, "top": 22, "bottom": 26},
            "encoding": {"x": place},
            "layer": [
                {
                    "data": {"values": [{}]},
                    "mark": {"type": "rule", "stroke": "var(--line-strong)"},
                    "encoding": {"x": {"value": 0}, "x2": {"value": _WIDTH - 28}, "y": {"value": _COLUMNS_HEIGHT}},
                },
                {
                    "data": {"values": _pieces(bars, series)},
                    "mark": {"type": "bar"},
                    "encoding": {
                        "y": {"field": "from", **height},
                        "y2": {"field": "to"},
                        "color": _colours(series),
                    },
                },
                {
                    "data": {"values": labels},
                    "mark": {"type": "text", "align": "center", "baseline": "bottom", "dy": -4},
                    "encoding": {
                        "y": {"field": "total", **height},
                        "text": {"field": "shown", "type": "nominal"},
                    },
                },
                {
                    "data": {"values": labels},
                    "mark": {"type": "text", "align": "center", "baseline": "top", "dy": 8, "fill": "var(--muted)"},
                    "encoding": {"y": {"value": _COLUMNS_HEIGHT}, "text": {"field": "label", "type": "nominal"}},
                },
            ],
        },
        bars,
    )


def _pieces(bars: Sequence[Bar], series: Sequence[Series]) -> list[dict[str, Any]]:
    """Where each part of each bar begins and ends."""
    pieces = []
    for row, bar in enumerate(bars):
        end = 0
        for part in series:
            start, end = end, end + bar.numbers.get(part.name, 0)
            if end > start:
                pieces.append({"row": row, "series": part.name, "from": start, "to": end})
    return pieces


def _colours(series: Sequence[Series]) -> dict[str, Any]:
    return {
        "field": "series",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": [part.name for part in series], "range": [f"var(--{part.colour})" for part in series]},
    }


def _short(text: str) -> str:
    """As much of a text as has room; wide characters take twice as much of it."""
    clean = one_line(text)
    room = _LABEL_CHARACTERS
    for number, character in enumerate(clean):
        room -= 2 if east_asian_width(character) in "WF" else 1
        if room < 0:
            return clean[:number].rstrip() + "…"
    return clean


def _placeholder(number: int) -> str:
    """What stands for the label of a bar until `_svg` puts it in."""
    return f"label-{number}"


def _svg(spec: dict[str, Any], bars: Sequence[Bar]) -> str:
    svg = vl_convert.vegalite_to_svg({"autosize": "none", "config": _CONFIG, **spec}, vl_version=_VEGA_LITE)
    for number, bar in enumerate(bars):
        svg = svg.replace(f">{_placeholder(number)}<", f">{escape(_short(bar.label))}<")
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
