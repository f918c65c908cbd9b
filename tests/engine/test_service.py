"""Services as they are declared: what an author may write, what is refused at once, and that classes stay classes."""

# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from helpers.engine import Batching, Image, Table, Tensor, api, depends, service, task
from helpers.engine.service import spec_of
from helpers.errors import UserError
from helpers.serving import serve

Rows = Tensor["float32", "batch", 3]


@service
class Doubler:
    @api(batching=Batching(largest=4))
    def double(self, rows: Tensor["float32", "batch", 3]) -> Tensor["float32", "batch", 3]:
        return rows * 2

    @api
    def count(self, to: int) -> Iterator[int]:
        yield from range(to)

    @task(keep=5)
    def slow(self, n: int) -> int:
        """Take your time."""
        return n

    def helper(self) -> None:
        """Not served."""


@service(name="other", timeout=3, threads=2, workers=4, most_waiting=9, finite_only=True)
class Other(Doubler):
    doubler = depends(Doubler)

    @api
    async def twice(self, rows: Tensor["float32", "batch", 3]) -> Tensor["float32", "batch", 3]:
        return await self.doubler.double(await self.doubler.double(rows))

    @api
    async def counted(self, to: int):  # type: ignore[no-untyped-def]
        async for item in self.doubler.count(to):
            yield item


def test_what_is_known_of_a_class() -> None:
    spec = spec_of(Doubler)
    assert spec is not None and spec.name == "Doubler" and list(spec.apis) == ["count", "double", "slow"]
    assert spec.apis["slow"].keep == 5 and spec.apis["slow"].help == "Take your time."
    assert spec.apis["count"].streams and not spec.apis["count"].is_async
    assert spec.apis["double"].batching == Batching(largest=4)


def test_a_subclass_is_a_service_of_its_own_if_it_says_so() -> None:
    class Undeclared(Doubler):
        pass

    assert spec_of(Undeclared) is None
    spec = spec_of(Other)
    assert spec is not None and set(spec.apis) == {"double", "count", "slow", "twice", "counted"}
    assert (spec.name, spec.workers, spec.threads, spec.timeout) == ("other", 4, 2, 3)
    assert (spec.most_waiting, spec.finite_only) == (9, True)
    assert spec_of(Doubler) is not None and spec_of(Doubler).name == "Doubler"  # type: ignore[union-attr]
    assert spec_of(Doubler()) is None and spec_of("Doubler") is None


async def test_classes_work_without_a_server() -> None:
    other, rows = Other(), np.ones((2, 3), np.float32)
    assert Doubler().double(rows).tolist() == (rows * 2).tolist()
    assert (await other.twice(rows)).tolist() == (rows * 4).tolist()
    assert (await other.doubler.double(rows=rows)).tolist() == (rows * 2).tolist()
    assert [item async for item in other.counted(3)] == [0, 1, 2]
    assert other.doubler is other.doubler and list(other.count(2)) == [0, 1] and other.slow(3) == 3


def no_apis() -> Any:
    @service
    class Wrong:
        def classify(self) -> None: ...


def no_annotation() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, image) -> None: ...  # type: ignore[no-untyped-def]


def many_values() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, *images: int) -> None: ...


def many_names() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, **images: int) -> None: ...


def only_by_keyword() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, *, image: int) -> None: ...


def no_self() -> Any:
    @service
    class Wrong:
        @api
        def classify() -> None: ...  # type: ignore[misc]


def static_below() -> Any:
    class Wrong:
        @api
        @staticmethod
        def classify(image: int) -> None: ...


def static_above() -> Any:
    @service
    class Wrong:
        @staticmethod
        @api
        def classify(image: int) -> None: ...


def of_the_class() -> Any:
    @service
    class Wrong:
        @classmethod
        @api
        def classify(cls, image: int) -> None: ...


def settings_without_a_name() -> Any:
    class Wrong:
        @api(Batching())  # type: ignore[call-overload]
        def classify(self, image: int) -> None: ...


def name_without_its_name() -> Any:
    @service("digits")
    class Wrong: ...


def unreadable() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, image: "Nowhere") -> None: ...  # type: ignore[name-defined]


def unreadable_attribute() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, image: "np.nowhere") -> None: ...


def bare_tensor() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, image: Tensor) -> None: ...


def bare_array() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, image: np.ndarray) -> None: ...


def tensor_or_none() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, image: Rows | None = None) -> None: ...


def tensors_in_a_list() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, images: list[Rows]) -> None: ...


def two_texts() -> Any:
    @service
    class Wrong:
        @api
        def classify(self, text: str | bytes) -> None: ...


def async_batch() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        async def classify(self, rows: Rows) -> Rows: ...


def streamed_batch() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        def classify(self, rows: Rows) -> Iterator[Rows]:
            yield rows


def batch_of_nothing() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        def classify(self) -> list[int]: ...


def batch_with_a_default() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        def classify(self, rows: list[int] = []) -> list[int]: ...  # noqa: B006


def batch_of_pictures() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        def classify(self, picture: Image["RGB"]) -> list[int]: ...


def batch_of_fixed_size() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        def classify(self, rows: Tensor["float32", 4, 3]) -> Rows: ...


def answer_without_rows() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        def classify(self, rows: Rows) -> float: ...


def answer_of_fixed_size() -> Any:
    @service
    class Wrong:
        @api(batching=Batching())
        def classify(self, rows: Rows) -> Tensor["float32", 4]: ...


DECLARED: list[tuple[Callable[[], Any], str]] = [
    (no_apis, "Wrong serves nothing"),
    (no_annotation, "Wrong.classify: say what image is"),
    (many_values, r"Wrong.classify: .*\*images: int is not"),
    (many_names, r"Wrong.classify: .*\*\*images: int is not"),
    (only_by_keyword, "Wrong.classify: .*image: int is not"),
    (no_self, "Wrong.classify: an API is an ordinary method, with self"),
    (static_below, "put before an ordinary method"),
    (static_above, "Wrong.classify: an API is an ordinary method"),
    (of_the_class, "Wrong.classify: an API is an ordinary method"),
    (settings_without_a_name, "settings named"),
    (name_without_its_name, "its settings are named; it got 'digits'"),
    (unreadable, "Wrong.classify: an annotation cannot be read: .*Nowhere"),
    (unreadable_attribute, "Wrong.classify: an annotation cannot be read: .*nowhere"),
    (bare_tensor, "image: say which one"),
    (bare_array, "Wrong.classify: image is .*ndarray.*, which cannot be read from JSON"),
    (tensor_or_none, "image is .*, which cannot be read from JSON"),
    (tensors_in_a_list, "images is .*, which cannot be read from JSON"),
    (two_texts, "text is .*, which cannot be read from JSON"),
    (async_batch, "only an ordinary method can be batched"),
    (streamed_batch, "only an ordinary method can be batched"),
    (batch_of_nothing, "needs parameters"),
    (batch_with_a_default, "none of them may have a default"),
    (batch_of_pictures, "picture has no rows"),
    (batch_of_fixed_size, "rows has no rows to batch; its first axis needs a name"),
    (answer_without_rows, "needs a row for each of its rows"),
    (answer_of_fixed_size, "needs a row for each of its rows"),
]


@pytest.mark.parametrize(("declare", "said"), DECLARED, ids=[declare.__name__ for declare, _ in DECLARED])
def test_a_mistake_is_told_when_the_class_is_made(declare: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        declare()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tensor["nothing", 3],
        lambda: Tensor[None, 3],
        lambda: Tensor["datetime64[s]", 3],
        lambda: Tensor["complex64", 3],
        lambda: Tensor["float32", -1],
        lambda: Tensor["float32", 2.5],
        lambda: Tensor["float32", True],
        lambda: Tensor["batch", 3],
        lambda: Tensor[()],
        lambda: Tensor[5],
        lambda: Image["CMYK"],
        lambda: Image[3],
        lambda: Image[["RGB"]],
        lambda: Table[{}],
        lambda: Table["age"],
        lambda: Table[{"age": "years"}],
        lambda: Table[{3: "float32"}],
        lambda: Batching(largest=0),
        lambda: Batching(window=-1),
        lambda: Batching(target=0),
        lambda: Batching(target=math.nan),
        lambda: task(keep=-1),
        lambda: task(keep=math.nan),
        lambda: service(threads=0)(Doubler),
        lambda: service(workers=0)(Doubler),
        lambda: service(most_waiting=0)(Doubler),
        lambda: service(timeout=0)(Doubler),
        lambda: service(timeout=math.nan)(Doubler),
        lambda: depends(3),
        lambda: depends(object),
    ],
)
def test_so_is_a_wrong_setting(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError) as raised:
        make()
    assert len(str(raised.value)) > 20, "it says what is right"
    assert spec_of(Doubler).threads == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("given", ["float32", np.float32, float, "f8", ">f4", "bool", int, str, "str", np.dtype("u1")])
def test_types_may_be_named_in_many_ways(given: Any) -> None:
    (value,) = Tensor[given, "n"].__metadata__
    assert value.spec.dtype.isnative and value.has_rows


def test_a_class_is_served_again_and_again() -> None:
    for _ in range(2):
        with serve(Doubler) as server:
            assert server.client.double(np.ones((1, 3), np.float32)).tolist() == [[2, 2, 2]]
    with serve(Doubler) as one, serve(Doubler) as two:
        assert one.port != two.port and two.client.count is not None
        assert list(two.client.stream("count", to=2)) == list(one.client.stream("count", to=2)) == [0, 1]


@service
class Namesake:
    @api
    def double(self) -> int:
        return 2


@service
class Routed:
    @api
    def metrics(self) -> int:
        return 2


@service
class Asked:
    @api
    def tasks(self) -> int:
        return 2

    @task
    def long(self) -> int:
        return 3


@pytest.mark.parametrize(
    ("targets", "path"),
    [([Doubler, Namesake], "double"), ([Doubler, Doubler], "count"), ([Routed], "metrics"), ([Asked], "tasks")],
    ids=["two services", "one twice", "a path of the server", "the path of tasks"],
)
def test_two_things_at_one_path_are_refused(targets: list[type], path: str) -> None:
    with pytest.raises(UserError, match=f"Two things would answer at /{path}"), serve(*targets):
        pass


def test_a_circle_is_told() -> None:
    @service
    class Hen:
        @api
        def lay(self) -> int:
            return 1

    @service
    class Egg:
        hen = depends(Hen)

        @api
        def hatch(self) -> int:
            return 1

    Hen.egg = depends(Egg)
    with pytest.raises(UserError, match="in a circle: Hen → Egg → Hen"), serve(Hen):
        pass


def test_a_service_that_cannot_start_says_why() -> None:
    @service
    class Broken:
        def __init__(self) -> None:
            raise OSError("no such file: weights.bin")

        @api
        def classify(self) -> int:
            return 1

    @service
    class Above:
        below = depends(Broken)

        @api
        def classify(self) -> int:
            return 1

    for target in (Broken, Above):
        with pytest.raises(UserError, match="Broken cannot start: OSError: no such file"), serve(target):
            pass


def test_the_members_of_a_service_are_made_once_and_before_it() -> None:
    made: list[str] = []

    @service
    class Member:
        def __init__(self) -> None:
            made.append("member")

        @api
        def one(self) -> int:
            return 1

    @service
    class First:
        member = depends(Member)

        def __init__(self) -> None:
            made.append(f"first, with {type(self.member).__name__}")

        @api
        async def two(self) -> int:
            return 1 + int(await self.member.one())

    @service
    class Second:
        member = depends(Member)

        @api
        async def three(self) -> int:
            return 2 + int(await self.member.one())

    with serve(First, Second) as server, server.client as client:
        assert (client.two(), client.three()) == (2, 3)
        assert httpx.post(f"{server.address}/one").status_code == 404, "only what was named is served"
    assert made == ["member", "first, with ServiceHandle"]
    assert asyncio.run(Second().three()) == 3
