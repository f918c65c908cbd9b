"""Pictures that everyone can read: each is shown with a sentence that says what it shows."""

import base64
import html
import io
from typing import Any


class Picture:
    """A matplotlib figure as an image with alt text.

    >>> Picture(figure, alt="Latency grows in step with the batch size.")  # doctest: +SKIP
    """

    def __init__(self, figure: Any, alt: str) -> None:
        if not alt.strip():
            raise ValueError("a picture needs alt text: one sentence that says what it shows")
        self.alt = alt
        self.png = _as_png(figure)

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        alt = html.escape(self.alt, quote=True)
        return f'<img alt="{alt}" src="data:image/png;base64,{data}" style="max-width:100%">'

    def __repr__(self) -> str:
        return f"[picture: {self.alt}]"


def _as_png(figure: Any) -> bytes:
    """Draw the figure once and close it, so that Jupyter does not show it a second time."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    return buffer.getvalue()
