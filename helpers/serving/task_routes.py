"""The paths of tasks: ``/tasks/ID`` tells how it is, ``/tasks/ID/result`` gives what came of it, DELETE cancels."""

import msgspec

from helpers.engine.tasks import TaskState
from helpers.serving.app import App
from helpers.serving.exchange import Answer, Request
from helpers.wire.errors import EngineError


def add_to(app: App) -> None:
    """Let an application be asked after its tasks."""

    async def answer(request: Request) -> Answer:
        match request.path:
            case [task, "result"]:
                request.expect_method("GET")
                content, kind = app.tasks.result(task)
                return Answer([content], content_type=kind.encode())
            case [task]:
                request.expect_method("GET", "DELETE")
                return told(app.tasks.cancel(task) if request.method == "DELETE" else app.tasks.state(task))
        raise EngineError("not_found", "a task is at /tasks/ID, and its result at /tasks/ID/result")

    app.routes["tasks"] = answer


def told(state: TaskState, status: int = 200) -> Answer:
    """A task as its caller sees it."""
    shown = {
        name: value for name, value in msgspec.to_builtins(state).items() if name not in ("worker", "content_type")
    }
    return Answer([msgspec.json.encode(shown)], status, headers=[(b"location", f"/tasks/{state.task}".encode())])
