"""The look of all pictures, and how they reach the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimgrid.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A pale green and a dark red, so that lightness tells them apart where colour does not.
GREEN, RED = "#5fc873", "#b3001b"
BLUE, ORANGE, GREY, INK = "#1f5fa8", "#f5a300", "#8a8f98", "#222222"
PALE = "#e6e6e6"
_DPI = 110
# Three quarters of the time of zlib's usual level 6, and files 1 % larger.
_COMPRESSION = 3


def new_figure(width: float, height: float) -> Figure:
    """Return a figure of its own, outside of pyplot's global state; sizes in inches.

    >>> [round(length) for length in new_figure(4.0, 3.0).get_size_inches()]
    [4, 3]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG, the whole file or none, the same bytes for the same figure.

    Raises `OSError` where the folder is missing or can't be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_png(new_figure(4.0, 3.0), Path(folder, "empty.png"))
    ...     Path(folder, "empty.png").read_bytes()[1:4]
    b'PNG'
    """
    with replacing(path) as unfinished:
        figure.savefig(
            unfinished,
            format="png",
            metadata={"Software": None},  # the version of matplotlib would change the bytes
            pil_kwargs={"compress_level": _COMPRESSION},
        )
