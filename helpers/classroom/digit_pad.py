"""A pad to draw a digit on, by mouse, finger or keyboard, and what a model says of it as bars.

The digits of scikit-learn were made in just this way: strokes on 32 by 32 points, of which
blocks of 4 by 4 were counted. So what is drawn here looks to a model like what it learned from.
"""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.classroom.pictures import Picture

POINTS, BLOCKS = 32, 8
MARGIN = 1  # points around a digit that was moved to the middle
Predict = Callable[[NDArray[np.float32]], NDArray[Any]]


def as_digit(points: NDArray[Any]) -> NDArray[np.float32]:
    """Strokes on 32 by 32 points, brought to the size of the data's digits, as (1, 1, 8, 8) from 0 to 1."""
    inked = np.argwhere(points)
    if len(inked) == 0:
        return np.zeros((1, 1, BLOCKS, BLOCKS), np.float32)
    (top, left), (bottom, right) = inked.min(0), inked.max(0) + 1
    high, wide = bottom - top, right - left
    scale = (POINTS - 2 * MARGIN) / max(high, wide)
    centre = np.array([(top + bottom) / 2, (left + right) / 2])
    middle = (np.arange(POINTS) + 0.5 - POINTS / 2) / scale  # where each point of the new digit lies in the old one
    rows, columns = (np.floor(middle + centre[axis]).astype(int) for axis in (0, 1))
    inside = ((rows >= 0) & (rows < POINTS))[:, None] & ((columns >= 0) & (columns < POINTS))[None]
    larger = np.where(inside, points[np.clip(rows, 0, POINTS - 1)][:, np.clip(columns, 0, POINTS - 1)], 0)
    size = POINTS // BLOCKS
    counts = (larger > 0).reshape(BLOCKS, size, BLOCKS, size).sum(axis=(1, 3))
    return np.asarray(counts[None, None] / size**2, np.float32)


class DigitPad:
    """A pad beside the model's answer.

    Where nobody can draw, the ``example`` is shown with its answer in its place.

    >>> DigitPad(predict, example=zoo.digits().test_images[:1])  # doctest: +SKIP
    """

    def __init__(self, predict: Predict, example: NDArray[np.float32]) -> None:
        self.predict = predict
        self.example = example
        self.image: NDArray[np.float32] | None = None
        self._widget: Any = None

    def widget(self) -> Any:
        """The pad, and below it the answer, which is read aloud when it changes."""
        if self._widget is None:
            from ipywidgets import HTML, HBox

            pad, shown = _pad_class()(), HTML()

            def look(_: object = None) -> None:
                points = np.array([int(point) for point in pad.points]).reshape(POINTS, POINTS)
                self.image = as_digit(points) if points.any() else None
                shown.value = f'<div aria-live="polite">{self._told()}</div>'

            pad.observe(look, names="points")
            look()
            self._widget = HBox([pad, shown])
        return self._widget

    def draw(self, points: NDArray[Any]) -> None:
        """Draw from Python what a hand would draw."""
        self.widget().children[0].points = "".join("1" if point else "0" for point in np.ravel(points))

    def on_paper(self) -> str:
        """The example and its answer, as a picture."""
        picture = self._picture()
        return f"<p>A digit of the test data, and the model's answer.</p>{picture._repr_html_()}"

    def __repr__(self) -> str:
        return repr(self._picture())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        text = repr(self)
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self.on_paper(),
            "text/plain": text,
        }

    def _told(self) -> str:
        if self.image is None:
            return "<p>Draw a digit from 0 to 9, as large as the pad.</p>"
        try:
            shares = _shares(self.predict(self.image))
        except Exception as error:  # a server that was stopped, say: the pad goes on
            return f"<p>No answer: {html.escape(str(error))}</p>"
        return bars(shares) + _seen(self.image)

    def _picture(self) -> Picture:
        import matplotlib.pyplot as plt

        shares = _shares(self.predict(self.example))
        figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.8), layout="constrained")
        left.imshow(self.example.reshape(BLOCKS, BLOCKS), cmap="gray_r", vmin=0, vmax=1)
        left.set(xticks=[], yticks=[], title="what the model is given")
        right.barh(range(10), shares, color="#90caf9", edgecolor="#0d47a1")
        right.set(yticks=range(10), xlim=(0, 1.15), xlabel="probability", title="what it answers")
        right.invert_yaxis()
        for digit, share in enumerate(shares):
            right.text(share + 0.02, digit, f"{share:.2f}", va="center", fontsize=8)
        best = int(np.argmax(shares))
        return Picture(
            figure, alt=f"A digit of 8 by 8 pixels; the model takes it for a {best}, with {shares[best]:.0%}."
        )


def bars(shares: NDArray[Any]) -> str:
    """Ten probabilities as a table, each with a bar and its number."""
    best = int(np.argmax(shares))
    rows = []
    for digit, share in enumerate(shares):
        bar = f'<div style="background:#1565c0;height:.8em;width:{12 * share:.2f}em"></div>'
        weight = "bold" if digit == best else "normal"
        rows.append(
            f'<tr style="font-weight:{weight}"><th scope="row">{digit}</th><td style="width:13em">{bar}</td>'
            f'<td style="text-align:right">{share:.1%}</td></tr>'
        )
    return f"<p>The model says: <strong>{best}</strong> ({shares[best]:.0%}).</p><table>{''.join(rows)}</table>"


def _seen(image: NDArray[np.float32]) -> str:
    """The 8 by 8 pixels that the model was given."""
    cells = "".join(
        f'<div style="background:rgb({shade},{shade},{shade})"></div>'
        for shade in (255 - (image.ravel() * 255).astype(int)).tolist()
    )
    style = "display:grid;grid-template-columns:repeat(8,1em);grid-auto-rows:1em;width:8em;border:1px solid #777"
    return (
        f'<p>What it was given:</p><div role="img" aria-label="your digit, 8 by 8 pixels" style="{style}">{cells}</div>'
    )


def _shares(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities: as they are if they are some already, else the softmax of the scores."""
    found = np.asarray(scores, np.float64).ravel()
    if found.min() >= 0 and abs(found.sum() - 1) < 1e-3:
        return found
    powers = np.exp(found - found.max())
    return np.asarray(powers / powers.sum())


def _pad_class() -> Any:
    import anywidget
    import traitlets

    class Pad(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("digit_pad.js")
        points = traitlets.Unicode("0" * POINTS**2).tag(sync=True)

    return Pad
