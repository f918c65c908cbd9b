"""Services over HTTP: the server, its protocols, its workers, the description of what it answers, and the client.

``http_server`` → ``app`` (route, id, limits, deadline) → ``…_routes`` (decode, ask the engine, encode).

>>> with serve(Digits) as server:  # doctest: +SKIP
...     server.client.classify(images)
"""

from helpers.serving.application import Application, Settings
from helpers.serving.client import AsyncClient, Client, ServiceError
from helpers.serving.server import Server, serve

__all__ = ["Application", "AsyncClient", "Client", "Server", "ServiceError", "Settings", "serve"]
