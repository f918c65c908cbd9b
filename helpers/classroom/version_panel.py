"""Versions under the hand: what a store holds, which of them answers, promote and roll back."""

import contextlib
import html
import json
import urllib.error
import urllib.request
from typing import Any

from helpers.classroom.tables import Table
from helpers.errors import UserError
from helpers.store import Store

ALIAS = "prod"


class VersionPanel:
    """The versions of one model, and the server that serves ``NAME:prod``.

    >>> panel = VersionPanel("digits", store, server.address)  # doctest: +SKIP
    >>> panel.promote("2"); panel.roll_back()                  # doctest: +SKIP
    """

    def __init__(self, name: str, store: Store | None = None, address: str | None = None) -> None:
        self.name = name
        self.store = store or Store()
        self.address = address
        self.past: list[str] = []  # versions that were ``prod`` before, the last one last
        self._widget: Any = None

    def promote(self, version: str) -> None:
        """Let ``prod`` mean this version, and the server load it; requests go on meanwhile."""
        before = self.in_production()
        self._move(version)
        if before is not None and before != version:
            self.past.append(before)

    def roll_back(self) -> None:
        """Back to the version that was ``prod`` before."""
        if not self.past:
            raise UserError(f"{self.name} had no other version in production.", "promote one first.")
        self._move(self.past.pop())

    def in_production(self) -> str | None:
        """The version that ``prod`` means."""
        try:
            return self.store.get(f"{self.name}:{ALIAS}").record.version
        except UserError:
            return None

    def answering(self) -> str | None:
        """The version that the server says it serves."""
        if self.address is None:
            return None
        try:
            with urllib.request.urlopen(f"{self.address}/v2/models/{self.name}", timeout=10) as answer:
                return str(json.load(answer)["versions"][-1])
        except OSError:
            return None

    def table(self) -> Table:
        """A line for each version, the newest first."""
        production, answering = self.in_production(), self.answering()
        rows = [
            [
                stored.record.version,
                stored.record.created[:19].replace("T", " "),
                ", ".join(f"{key}={value}" for key, value in stored.record.labels.items()),
                " and ".join(
                    word
                    for word, is_it in ((ALIAS, production), ("answering", answering))
                    if is_it == stored.record.version
                ),
            ]
            for stored in self.store.list(self.name)
        ]
        return Table(["version", "saved", "labels", "now"], rows, f"{self.name} in the store")

    def widget(self) -> Any:
        """A choice of versions, two buttons, and the table."""
        if self._widget is None:
            from ipywidgets import HTML, Button, Dropdown, HBox, VBox

            versions = [stored.record.version for stored in self.store.list(self.name)]
            choice = Dropdown(options=versions, description="version")
            promote, back = Button(description="Promote"), Button(description="Roll back")
            shown = HTML(self.table()._repr_html_())

            def do(action: Any) -> None:
                told = ""
                try:
                    action()
                except (UserError, OSError) as error:
                    told = f"<p>{html.escape(str(error))}</p>"
                shown.value = f'<div aria-live="polite">{told}{self.table()._repr_html_()}</div>'

            promote.on_click(lambda _: do(lambda: self.promote(choice.value)))
            back.on_click(lambda _: do(self.roll_back))
            self._widget = VBox([HBox([choice, promote, back]), shown])
        return self._widget

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget().model_id}
        table = self.table()
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": table._repr_html_(),
            "text/plain": repr(table),
        }

    def _move(self, version: str) -> None:
        before = self.in_production()
        self.store.alias(f"{self.name}:{version}", ALIAS)
        if self.address is None:
            return
        load = urllib.request.Request(f"{self.address}/v2/repository/models/{self.name}/load", method="POST")
        try:
            urllib.request.urlopen(load, timeout=60).close()
        except OSError as error:
            if before is not None:  # the server refused it: what is true is what it serves
                self.store.alias(f"{self.name}:{before}", ALIAS)
            raise UserError(f"The server did not load version {version}: {_told(error)}", "see its log.") from None


def _told(error: OSError) -> str:
    """What the server says of it, if it says something."""
    if isinstance(error, urllib.error.HTTPError):
        with contextlib.suppress(ValueError, KeyError):
            return str(json.load(error)["error"])
    return f"{error}."
