"""What a notebook of the course imports: its checks, its first line, its pictures.

>>> from helpers.classroom import lesson
>>> lesson("01").hint("dynamic_batch")  # doctest: +SKIP

Each name is looked up in its own module when it is first used: the command line
shares this room, and must run before any package is installed.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.classroom.batching_lab import BatchingLab
    from helpers.classroom.course_record import course_so_far
    from helpers.classroom.digit_pad import DigitPad
    from helpers.classroom.explorer import Explorer
    from helpers.classroom.fusion_views import fusion_picture, fusion_table, graph_picture
    from helpers.classroom.graph_tables import graph_table
    from helpers.classroom.load_panel import LoadPanel
    from helpers.classroom.measurements import recall, remember
    from helpers.classroom.netron_view import NetronView
    from helpers.classroom.pictures import Picture
    from helpers.classroom.readiness import ready
    from helpers.classroom.server_panel import ServerPanel
    from helpers.classroom.tables import Table
    from helpers.classroom.timelines import Recorder, overlap, queue_picture, spans_picture
    from helpers.classroom.tutor import lesson
    from helpers.classroom.version_panel import VersionPanel

__all__ = [
    "BatchingLab",
    "DigitPad",
    "Explorer",
    "LoadPanel",
    "NetronView",
    "Picture",
    "Recorder",
    "ServerPanel",
    "Table",
    "VersionPanel",
    "course_so_far",
    "fusion_picture",
    "fusion_table",
    "graph_picture",
    "graph_table",
    "lesson",
    "overlap",
    "queue_picture",
    "ready",
    "recall",
    "remember",
    "spans_picture",
]

HOMES = {
    "BatchingLab": "batching_lab",
    "DigitPad": "digit_pad",
    "Explorer": "explorer",
    "LoadPanel": "load_panel",
    "NetronView": "netron_view",
    "Picture": "pictures",
    "Recorder": "timelines",
    "ServerPanel": "server_panel",
    "Table": "tables",
    "VersionPanel": "version_panel",
    "course_so_far": "course_record",
    "fusion_picture": "fusion_views",
    "fusion_table": "fusion_views",
    "graph_picture": "fusion_views",
    "graph_table": "graph_tables",
    "lesson": "tutor",
    "overlap": "timelines",
    "queue_picture": "timelines",
    "ready": "readiness",
    "recall": "measurements",
    "remember": "measurements",
    "spans_picture": "timelines",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{HOMES[name]}")
    value = globals()[name] = getattr(module, name)
    return value
