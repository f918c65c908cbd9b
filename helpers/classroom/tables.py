"""A small table: text in a terminal, a real table with headers in a notebook."""

import html
from collections.abc import Sequence

from helpers.text_table import aligned


class Table:
    """Rows under column names, with a caption that says what the table shows."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> None:
        self.columns = list(columns)
        self.rows = [[str(value) for value in row] for row in rows]
        self.caption = caption

    def __repr__(self) -> str:
        text = aligned(self.columns, self.rows)
        return f"{self.caption}\n{text}" if self.caption else text

    def _repr_html_(self) -> str:
        def cells(tag: str, values: Sequence[str]) -> str:
            attributes = " scope='col'" if tag == "th" else ""
            style = " style='text-align:left;padding:.2em .8em'"
            return "".join(f"<{tag}{attributes}{style}>{html.escape(value)}</{tag}>" for value in values)

        caption = (
            f"<caption style='text-align:left;white-space:nowrap'>{html.escape(self.caption)}</caption>"
            if self.caption
            else ""
        )
        head = f"<thead><tr>{cells('th', self.columns)}</tr></thead>"
        body = "".join(f"<tr>{cells('td', row)}</tr>" for row in self.rows)
        return f"<table>{caption}{head}<tbody>{body}</tbody></table>"
