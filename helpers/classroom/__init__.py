"""What a notebook of the course imports: its checks, its first line, its pictures.

>>> from helpers.classroom import lesson
>>> lesson("01").hint("dynamic_batch")  # doctest: +SKIP

Each name is looked up in its own module when it is first used: the command line
shares this room, and must run before any package is installed.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.classroom.explorer import Explorer
    from helpers.classroom.fusion_views import fusion_picture, fusion_table, graph_picture
    from helpers.classroom.graph_tables import graph_table
    from helpers.classroom.measurements import recall, remember
    from helpers.classroom.netron_view import NetronView
    from helpers.classroom.pictures import Picture
    from helpers.classroom.readiness import ready
    from helpers.classroom.tables import Table
    from helpers.classroom.tutor import lesson

__all__ = [
    "Explorer",
    "NetronView",
    "Picture",
    "Table",
    "fusion_picture",
    "fusion_table",
    "graph_picture",
    "graph_table",
    "lesson",
    "ready",
    "recall",
    "remember",
]

HOMES = {
    "Explorer": "explorer",
    "NetronView": "netron_view",
    "Picture": "pictures",
    "Table": "tables",
    "fusion_picture": "fusion_views",
    "fusion_table": "fusion_views",
    "graph_picture": "fusion_views",
    "graph_table": "graph_tables",
    "lesson": "tutor",
    "ready": "readiness",
    "recall": "measurements",
    "remember": "measurements",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{HOMES[name]}")
    value = globals()[name] = getattr(module, name)
    return value
