"""How the learner's browser reaches a page that this kernel serves.

The kernel listens on a port of its own machine. The browser may sit on that
machine, or behind JupyterHub, Binder or a reverse proxy, where that port does not
exist. jupyter-server-proxy carries it: ``<the Jupyter server>/proxy/<port>/``.
"""

import importlib.util
import json
import os
from pathlib import Path


def address_of(port: int) -> str:
    """The address, as seen from the browser, of a page served on a loopback port."""
    base = jupyter_base()
    if base is None or importlib.util.find_spec("jupyter_server_proxy") is None:
        return f"http://127.0.0.1:{port}/"
    return f"{base.rstrip('/')}/proxy/{port}/"


def jupyter_base() -> str | None:
    """The path under which this kernel's Jupyter server is seen, or None if there is none."""
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if hub:
        return hub
    server = _server_that_started_this_kernel()
    return server.get("base_url") if server else None


def _server_that_started_this_kernel() -> dict[str, str] | None:
    """What a Jupyter server notes of itself in a file named after its process."""
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        text = (Path(jupyter_runtime_dir()) / f"jpserver-{os.getppid()}.json").read_text("utf-8")
        found: dict[str, str] = json.loads(text)
        return found
    except (ImportError, OSError, ValueError):
        return None
