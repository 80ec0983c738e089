"""Tables as HTML for notebooks: all text escaped, no colors, so that they fit light and dark."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import Literal, TypeAlias

Align: TypeAlias = Literal["left", "right"]

# Notebooks have styles of their own for cells, which only a style of the cell itself overrides.
_STYLES: dict[Align, str] = {
    "left": "text-align:left;padding:0.2em 0.6em;max-width:30em;overflow-wrap:anywhere",
    "right": "text-align:right;padding:0.2em 0.6em",
}


def table_html(
    columns: Sequence[tuple[str, Align]],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
    strong: Collection[int] = (),
) -> str:
    """Return a table with a head, and notes below it; `strong` are the rows in bold letters.

    `columns` are titles and the side their cells keep to: right for numbers. What keeps to the
    left may be in any script: its direction is its own, and turns nothing around it.

    >>> print(table_html([("Name", "left"), ("Bytes", "right")], [("<b>", "1,000")], strong=[0]))
    ... # doctest: +ELLIPSIS
    <table>
    <thead><tr><th scope="col" style="text-align:left...
    <tbody>
    <tr><td style="text-align:left..."><strong><bdi>&lt;b&gt;</bdi></strong></td>...
    </tbody>
    </table>
    """
    head = "".join(_cell("th", title, align, ' scope="col"') for title, align in columns)
    lines = ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for place, row in enumerate(rows):
        cells = [
            _cell("td", text, align, strong=place in strong)
            for text, (_, align) in zip(row, columns, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines += ["</tbody>", "</table>"]
    return "\n".join([*lines, *(f"<div>{_text(note)}</div>" for note in notes)])


def facts_html(title: str, facts: Sequence[tuple[str, str, Align]]) -> str:
    """Return a table of names, values and the side these keep to, under a title.

    >>> "<bdi>half</bdi>" in facts_html("half", [("Weights", "100", "right")])
    True
    """
    lines = ["<table>", f'<caption style="{_STYLES["left"]}">{_text(title)}</caption>', "<tbody>"]
    for name, value, align in facts:
        head = _cell("th", name, "left", ' scope="row"')
        lines.append(f"<tr>{head}{_cell('td', value, align)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


def _cell(tag: str, text: str, align: Align, scope: str = "", *, strong: bool = False) -> str:
    inner = escape(text) if align == "right" else _text(text)
    inner = f"<strong>{inner}</strong>" if strong and text else inner
    return f'<{tag}{scope} style="{_STYLES[align]}">{inner}</{tag}>'


def _text(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>"
