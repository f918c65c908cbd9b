"""Azure's host in short: finds the functions in ``function_app.py``, and calls the one that takes requests.

Run as ``python -m helpers.deploy.targets.functions_host FOLDER`` in a process of its own, so that the
bundle's modules meet no others; reads questions as JSON, and prints the answers.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.errors import UserError
from helpers.places import ROOT

Question = tuple[str, str, bytes]  # method, path, body


def ask(folder: Path, questions: Sequence[Question], content_type: str = "application/json") -> list[tuple[int, bytes]]:
    """Status and body of each answer."""
    told = json.dumps([[method, path, base64.b64encode(body).decode()] for method, path, body in questions])
    ran = subprocess.run(
        [sys.executable, "-m", "helpers.deploy.targets.functions_host", str(folder), content_type],
        input=told,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        timeout=120,
    )
    if ran.returncode != 0:
        raise UserError("The function app does not answer.", ran.stderr.strip()[-800:] or "it said nothing.")
    return [(status, base64.b64decode(body)) for status, body in json.loads(ran.stdout.splitlines()[-1])]


async def _answers(folder: Path, questions: Sequence[Question], content_type: str) -> list[tuple[int, bytes]]:
    import azure.functions as func

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    import function_app  # type: ignore[import-not-found]

    app = function_app.app
    (function,) = app.get_functions()
    call = function.get_user_function()
    found = []
    try:
        for method, path, body in questions:
            url, headers = f"http://localhost{path}", {"Content-Type": content_type}
            asked = func.HttpRequest(method, url, headers=headers, params={}, route_params={}, body=body)
            answer = await call(asked, _context())
            found.append((answer.status_code, answer.get_body()))
    finally:
        if app.startup_task_done:  # its destructor would do this on another loop, and wait for ever
            await app.middleware.notify_shutdown()
            app.startup_task_done = False
    return found


def _context() -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(
        function_directory="",
        function_name="http_app_func",
        invocation_id="0",
        thread_local_storage=None,
        trace_context=None,
        retry_context=None,
    )


def main(folder: str, content_type: str) -> None:
    questions = [(method, path, base64.b64decode(body)) for method, path, body in json.load(sys.stdin)]
    found = asyncio.run(_answers(Path(folder).resolve(), questions, content_type))
    print(json.dumps([[status, base64.b64encode(body).decode()] for status, body in found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
