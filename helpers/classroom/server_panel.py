"""A server under the hand: start it, stop it, see how it is and what it writes."""

import atexit
import html
import threading
from typing import Any

from helpers.bench.server_process import ServerProcess
from helpers.errors import UserError

SHOWN_LINES = 12
EVERY_SECONDS = 1.0
_panels: dict[str, "ServerPanel"] = {}


class ServerPanel:
    """Buttons for a server in a process of its own. A second panel of the same name takes the place of the first.

    The server ends with the panel, with the kernel, or with the ``with`` block, whichever is first.

    >>> panel = ServerPanel("digits", ServerProcess.of_kit("digits:prod"))  # doctest: +SKIP
    >>> panel.start()                                                       # doctest: +SKIP
    """

    def __init__(self, name: str, server: ServerProcess) -> None:
        if name in _panels:
            _panels[name].close()
        _panels[name] = self
        self.name = name
        self.server = server
        self._widget: Any = None
        self._closed = threading.Event()

    def start(self) -> "ServerPanel":
        """Start it, and wait until it answers."""
        self.server.start()
        self._refresh()
        return self

    def stop(self) -> None:
        self.server.stop()
        self._refresh()

    def close(self) -> None:
        """Stop it, and look no more."""
        self._closed.set()
        self.stop()

    def widget(self) -> Any:
        """Buttons, state and log."""
        if self._widget is None:
            from ipywidgets import HTML, Button, HBox, VBox

            start, stop = Button(description="Start"), Button(description="Stop")
            self._state, self._log = HTML(), HTML()
            start.tooltip, stop.tooltip = f"start the server {self.name}", f"stop the server {self.name}"
            start.on_click(lambda _: self._do(self.server.start))
            stop.on_click(lambda _: self._do(self.server.stop))
            self._widget = VBox([HBox([start, stop, self._state]), self._log])
            self._refresh()
            threading.Thread(target=self._watch, name=f"panel-{self.name}", daemon=True).start()
        return self._widget

    def told(self) -> str:
        """How it is, in one line."""
        health = self.server.health()
        return f"{self.name}: {health}" + (f" at {self.server.address}" if self.server.is_running else "")

    def __enter__(self) -> "ServerPanel":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "\n".join([self.told(), *self._last_lines()])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        on_paper = f"<p>{html.escape(self.told())}</p>{self._log_html()}"
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": on_paper,
            "text/plain": repr(self),
        }

    def _do(self, action: Any) -> None:
        """What a button does. Its error is told in the panel: there is no cell to raise it in."""
        self._state.value = "&nbsp;working"
        try:
            action()
        except UserError as error:
            self.server.log.append(f"{error.sentence} {error.remedy}")
        self._refresh()

    def _watch(self) -> None:
        while not self._closed.wait(EVERY_SECONDS):
            self._refresh()

    def _refresh(self) -> None:
        if self._widget is not None:
            told = f'<span role="status">&nbsp;{html.escape(self.told())}</span>'
            if self._state.value != told:  # what has not changed is not read aloud again
                self._state.value = told
            self._log.value = self._log_html()

    def _last_lines(self) -> list[str]:
        return list(self.server.log)[-SHOWN_LINES:]

    def _log_html(self) -> str:
        lines = html.escape("\n".join(line[:160] for line in self._last_lines())) or "(no log yet)"
        return (
            f'<pre tabindex="0" aria-label="log of {html.escape(self.name, quote=True)}" style="max-height:14em;'
            f'overflow:auto;background:#f5f5f5;padding:.5em;border:1px solid #ccc">{lines}</pre>'
        )


@atexit.register
def _close_all() -> None:
    for panel in _panels.values():
        panel.close()
