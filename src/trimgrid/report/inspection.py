"""Tables for a single model: its variables, and what its files weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimgrid.sizes import FileSize
from trimgrid.terminal_text import printable


class Variable(Protocol):
    """What is printed of a variable; `reason` is None where it is pruned."""

    @property
    def path(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def weights(self) -> int: ...
    @property
    def zeros(self) -> int: ...
    @property
    def reason(self) -> str | None: ...


def print_variables(variables: Sequence[Variable]) -> None:
    """Print a line for each variable, and their sum, to standard output."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Variable", overflow="fold")
    table.add_column("Shape")
    for title in ("Weights", "Zeros", "Sparsity"):
        table.add_column(title, justify="right")
    table.add_column("Pruned", overflow="fold")
    total = zeros = 0
    for each in variables:
        count = each.zeros
        total, zeros = total + each.weights, zeros + count
        shape = "x".join(map(str, each.shape)) or "-"
        pruned = "yes" if each.reason is None else f"no: {each.reason}"
        table.add_row(_text(each.path), shape, *_counts(each.weights, count), _text(pruned))
    table.add_section()
    table.add_row("total", "", *_counts(total, zeros), "")
    _print(table)


def _text(text: str) -> Text:
    """A text that Rich takes for no markup: a path may hold brackets."""
    return Text(printable(text))


def _counts(weights: int, zeros: int) -> tuple[str, str, str]:
    share = 100 * zeros / weights if weights else 0.0
    return f"{weights:,}", f"{zeros:,}", f"{share:.1f} %"


def print_sizes(sizes: Mapping[str, FileSize]) -> None:
    """Print the bytes of each kind of file, plain and zipped, to standard output."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("File")
    for title in ("Bytes", "Zipped", "Compression"):
        table.add_column(title, justify="right")
    for kind, size in sizes.items():
        saved = 100 * (size.plain - size.zipped) / size.plain
        table.add_row(kind, f"{size.plain:,}", f"{size.zipped:,}", f"{saved:.2f} %")
    _print(table)


def _print(table: Table) -> None:
    console = Console()
    # In a pipe nothing is cut or wrapped: one line of the table is one line for `grep`.
    (console if console.is_terminal else Console(width=200)).print(table)
