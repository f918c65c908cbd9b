"""Which models are served here, in which versions: loaded, replaced and unloaded while requests go on."""

import asyncio
from dataclasses import dataclass, field

from helpers.engine.lane import Lane
from helpers.engine.servable import Servable
from helpers.errors import UserError
from helpers.runtime import Options, Session
from helpers.runtime.missing_values import inputs_with_missing
from helpers.store import Store, Stored
from helpers.store.formats import onnx
from helpers.wire.errors import EngineError


@dataclass
class Served:
    """One name: its versions that are loaded, and the one that answers when none is named."""

    target: str
    default: str
    versions: dict[str, Servable] = field(default_factory=dict)


class Registry:
    """The models of one server. A store's tag is loaded when it is added, and again when asked to."""

    def __init__(self, store: Store | None = None, threads: int = 1, finite_only: bool = False) -> None:
        self.store = store or Store()
        self.options = Options(threads=threads, finite_only=finite_only)
        self.models: dict[str, Served] = {}
        self._loading = asyncio.Lock()
        self._leaving: set[asyncio.Future[None]] = set()

    def find(self, name: str, version: str | None = None) -> Servable:
        """The model that answers to a name, and to a version or an alias of it if one is named."""
        served = self.models.get(name)
        if served is None:
            there_are = ", ".join(sorted(self.models)) or "none"
            raise EngineError("not_found", f"no model called {name[:80]!r} is served here; there are: {there_are}")
        found = served.versions.get(version or served.default)
        if found is None:
            there_are = ", ".join(sorted(served.versions))
            raise EngineError(
                "not_found", f"the version {str(version)[:80]!r} of {name} is not loaded; there are: {there_are}"
            )
        return found

    def find_label(self, name: str, label: str) -> Servable:
        """The model behind an alias of the store, as it is now, if that version is loaded."""
        self.find(name)
        try:
            stored = self.store.get(f"{name}:{label}")
        except UserError as error:
            raise EngineError("not_found", error.sentence) from None
        return self.find(name, stored.record.version)

    async def load(self, tag: str) -> Servable:
        """Load what a tag means now, warm it up, and only then let it answer; the one before goes on until then.

        Whatever fails on the way leaves everything as it was.
        """
        async with self._loading:
            stored = await asyncio.to_thread(self.store.get, tag)
            name, version = stored.record.name, stored.record.version
            served = self.models.get(name)
            if served is not None and version in served.versions:
                served.default = version
                return served.versions[version]
            ready = await asyncio.to_thread(self._open, stored)
            await ready.warm_up()
            before = served.versions if served is not None else {}
            self.models[name] = Served(tag, version, {version: ready})
            self._retire(before)
            return ready

    async def load_again(self, name: str) -> Servable:
        """Load what the name's tag means now: a newer version, or another one behind an alias."""
        served = self.models.get(name)
        try:
            return await self.load(served.target if served is not None else name)
        except UserError as error:
            # What a caller named wrongly is its mistake; a version that does not load is not.
            code = "not_found" if error.exit_code == 2 else "unavailable"
            raise EngineError(code, f"{error.sentence.rstrip('.')}; {error.remedy}") from None

    def unload(self, name: str) -> None:
        """Answer no more requests for a name."""
        self.find(name)
        self._retire(self.models.pop(name).versions)

    def lanes(self) -> dict[tuple[str, str], Lane]:
        """Each model's queue, by name and version."""
        return {
            (name, version): servable.lane
            for name, served in self.models.items()
            for version, servable in served.versions.items()
        }

    def close(self) -> None:
        """At the end of the server, when everyone has been answered."""
        for served in self.models.values():
            for servable in served.versions.values():
                servable.close()
        self.models.clear()

    def _retire(self, versions: dict[str, Servable]) -> None:
        """Nobody finds them any more; those who wait in their queues are still answered."""
        for servable in versions.values():
            leaving = asyncio.ensure_future(servable.drain())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def _open(self, stored: Stored) -> Servable:
        record = stored.record
        if record.format != onnx.FORMAT.name:
            raise UserError(
                f"{stored.tag} is a {record.format} model; the store serves ONNX models by themselves.",
                "export it to ONNX (lesson 02), or write a service around it.",
            )
        stored.verify()
        file = stored.path / onnx.FILE
        session = Session(file, options=self.options)
        missing = inputs_with_missing(file, session)
        servable = Servable.of_session(record.name, record.version, session, missing=missing)
        classes = record.metadata.get("classes")
        servable.classes = classes if isinstance(classes, list) else ()
        return servable
