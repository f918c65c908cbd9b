"""A slider under the hand, and the same on paper: one shown thing for each choice."""

import html
from collections.abc import Mapping
from typing import Any


class Explorer:
    """A slider through things that are ready: pictures or tables, one for each choice.

    Where nobody can move a slider (a printed page, a test, a notebook without a kernel),
    ``overview`` is shown in its place, and must say the same; without one, everything is
    shown in order.

    >>> Explorer("threads", {"1": picture_1, "2": picture_2})  # doctest: +SKIP
    """

    def __init__(self, label: str, choices: Mapping[str, Any], overview: Any = None) -> None:
        if not choices:
            raise ValueError("an explorer needs at least one choice")
        self.label = label
        self.choices = {str(choice): shown for choice, shown in choices.items()}
        self.overview = overview
        self._widget: Any = None

    def widget(self) -> Any:
        """The slider with what it shows below it."""
        if self._widget is None:
            from ipywidgets import HTML, Layout, SelectionSlider, VBox

            slider = SelectionSlider(
                options=list(self.choices),
                description=self.label,
                style={"description_width": "initial"},
                layout=Layout(width="30em"),
            )
            shown = HTML()

            def show(_: object = None) -> None:
                # Read aloud when it changes, to who cannot see that it does.
                shown.value = f'<div aria-live="polite">{as_html(self.choices[slider.value])}</div>'

            slider.observe(show, names="value")
            show()
            self._widget = VBox([slider, shown])
        return self._widget

    def on_paper(self) -> str:
        """What is shown without a slider."""
        if self.overview is not None:
            return as_html(self.overview)
        return "".join(
            f"<p>{html.escape(self.label)}: {html.escape(choice)}</p>{as_html(shown)}"
            for choice, shown in self.choices.items()
        )

    def __repr__(self) -> str:
        if self.overview is not None:
            return repr(self.overview)
        return "\n\n".join(f"{self.label}: {choice}\n{shown!r}" for choice, shown in self.choices.items())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self.on_paper(),
            "text/plain": repr(self),
        }


def as_html(shown: Any) -> str:
    """The thing's own HTML, or its text."""
    return str(shown._repr_html_()) if hasattr(shown, "_repr_html_") else f"<pre>{html.escape(str(shown))}</pre>"
