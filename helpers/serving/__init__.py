"""Services over HTTP: the server, its protocols, its workers, the description of what it answers, and the client.

``http_server`` → ``connection`` (bytes through ``reader``, in their order) → ``app`` (route, id, count)
→ ``…_routes`` (decode, ask the engine, encode) → back. ``asgi`` is the door for servers that others wrote.

>>> with serve(Digits) as server:  # doctest: +SKIP
...     server.client.classify(images)
"""

from helpers.serving.application import Application, Settings
from helpers.serving.client import AsyncClient, Client, ServiceError
from helpers.serving.server import Server, serve

__all__ = ["Application", "AsyncClient", "Client", "Server", "ServiceError", "Settings", "serve"]
