"""Rows under their column names, as text."""

from collections.abc import Sequence


def aligned(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """One line a row, each column as wide as its widest entry."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    lines = [list(columns), ["-" * width for width in widths], *texts]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
