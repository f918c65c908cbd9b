"""What goes wrong in lesson 07."""
# ruff: noqa: F821  (the names of axes and types are no names of Python's)

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import numpy as np

from helpers.engine import Batching, EngineError, Table, Tensor, api, service
from helpers.engine import invalid as refused
from helpers.engine import task as long_task
from helpers.serving import AsyncClient, Client, ServiceError

Images = Tensor["float32", "batch", 1, 8, 8]
Scores = Tensor["float32", "batch", 10]

# typed


def forgets_to_return_the_class(model: Any) -> None:
    @service
    class Digits:
        @api
        def classify(self, images: Images) -> Scores:
            return model(images)


def forgets_the_decorator(model: Any) -> type:
    class Digits:
        @api
        def classify(self, images: Images) -> Scores:
            return model(images)

    return Digits


def calls_it_predict(model: Any) -> Any:
    @service
    class Digits:
        @api
        def predict(self, images: Images) -> Scores:
            return model(images)

    return Digits


def takes_lists_as_a_web_framework_would(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: list[list[list[list[float]]]]) -> Scores:
            return model(np.array(images, np.float32))

    return Digits


def leaves_height_and_width_open(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: Tensor["float32", "batch", 1, "height", "width"]) -> Scores:
            return model(images)

    return Digits


def takes_float64(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: Tensor["float64", "batch", 1, 8, 8]) -> Scores:
            return model(images.astype(np.float32))

    return Digits


def takes_one_image_only(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: Tensor["float32", 1, 1, 8, 8]) -> Scores:
            return model(images)

    return Digits


def forgets_the_channel(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: Tensor["float32", "batch", 8, 8]) -> Scores:
            return model(images[:, None])

    return Digits


def calls_the_field_pixels(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, pixels: Images) -> Scores:
            return model(pixels)

    return Digits


def promises_nothing(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: Images):
            return model(images)

    return Digits


def promises_float64(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: Images) -> Tensor["float64", "batch", 10]:
            return model(images)

    return Digits


def answers_with_the_digits(model: Any) -> Any:
    @service
    class Digits:
        @api
        def classify(self, images: Images) -> Tensor["int64", "batch"]:
            return model(images).argmax(1)

    return Digits


def serves_it_as_a_task(model: Any) -> Any:
    @service
    class Digits:
        @long_task
        def classify(self, images: Images) -> Scores:
            return model(images)

    return Digits


def needs_a_path(model: Any) -> Any:
    @service
    class Digits:
        def __init__(self) -> None:
            self.model = np.load("no_such_model.npy")

        @api
        def classify(self, images: Images) -> Scores:
            return model(images)

    return Digits


# refuse


def looks_at_the_top_only(images: np.ndarray) -> None:
    wrong = np.flatnonzero((images > 1).any((1, 2, 3)))
    if len(wrong):
        raise refused("images", f"{images[wrong[0]].max():g} in image {wrong[0]}", "values from 0 to 1")


def lets_nan_pass(images: np.ndarray) -> None:
    outside = (images < 0) | (images > 1)
    wrong = np.flatnonzero(outside.any((1, 2, 3)))
    if len(wrong):
        raise refused("images", f"{images[outside][0]:g} in image {wrong[0]}", "values from 0 to 1")


def refuses_the_ends(images: np.ndarray) -> None:
    inside = (images > 0) & (images < 1)
    wrong = np.flatnonzero(~inside.all((1, 2, 3)))
    if len(wrong):
        raise refused("images", f"{images[~inside][0]:g} in image {wrong[0]}", "values from 0 to 1")


def does_not_say_which(images: np.ndarray) -> None:
    inside = (images >= 0) & (images <= 1)
    if not inside.all():
        raise refused("images", f"a value of {images[~inside][0]:g}", "values from 0 to 1")


def counts_from_one(images: np.ndarray) -> None:
    inside = (images >= 0) & (images <= 1)
    wrong = np.flatnonzero(~inside.all((1, 2, 3)))
    if len(wrong):
        raise refused("images", f"{images[~inside][0]:g} in image {wrong[0] + 1}", "values from 0 to 1")


def names_the_last(images: np.ndarray) -> None:
    inside = (images >= 0) & (images <= 1)
    wrong = np.flatnonzero(~inside.all((1, 2, 3)))
    if len(wrong):
        raise refused("images", f"{images[~inside][-1]:g} in image {wrong[-1]}", "values from 0 to 1")


def keeps_the_value_to_itself(images: np.ndarray) -> None:
    wrong = np.flatnonzero(~((images >= 0) & (images <= 1)).all((1, 2, 3)))
    if len(wrong):
        raise refused("images", f"wrong in image {wrong[0]}", "values from 0 to 1")


def expects_something_else(images: np.ndarray) -> None:
    inside = (images >= 0) & (images <= 1)
    wrong = np.flatnonzero(~inside.all((1, 2, 3)))
    if len(wrong):
        raise refused("images", f"{images[~inside][0]:g} in image {wrong[0]}", "normal pixels")


def blames_itself(images: np.ndarray) -> None:
    inside = (images >= 0) & (images <= 1)
    wrong = np.flatnonzero(~inside.all((1, 2, 3)))
    if len(wrong):
        said = f"{images[~inside][0]:g} in image {wrong[0]}"
        raise EngineError("internal", said, "images", "values from 0 to 1")


def blames_another_field(images: np.ndarray) -> None:
    inside = (images >= 0) & (images <= 1)
    wrong = np.flatnonzero(~inside.all((1, 2, 3)))
    if len(wrong):
        raise refused("pixels", f"{images[~inside][0]:g} in image {wrong[0]}", "values from 0 to 1")


def returns_the_refusal(images: np.ndarray) -> Any:
    inside = (images >= 0) & (images <= 1)
    wrong = np.flatnonzero(~inside.all((1, 2, 3)))
    return refused("images", f"{images[~inside][0]:g} in image {wrong[0]}", "0 to 1") if len(wrong) else None


def mends_instead_of_refusing(images: np.ndarray) -> None:
    np.clip(images, 0, 1, out=images)


def returns_the_images(images: np.ndarray) -> np.ndarray:
    return images


# quote

Parcels = Table[{"parcel": "str", "grams": "float32", "zone": "int64"}]
Prices = Table[{"parcel": "str", "price": "float32"}]


def prices_row_by_row(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Parcels) -> Prices:
            each = [price(rows["grams"][n : n + 1], rows["zone"][n : n + 1])[0] for n in range(len(rows["zone"]))]
            return {"parcel": rows["parcel"], "price": np.array(each, np.float32)}

    return Quotes


def sorts_by_parcel(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Parcels) -> Prices:
            order = np.argsort(rows["parcel"].astype(str))
            return {"parcel": rows["parcel"][order], "price": price(rows["grams"], rows["zone"])[order]}

    return Quotes


def swaps_the_arguments(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Parcels) -> Prices:
            return {"parcel": rows["parcel"], "price": price(rows["zone"], rows["grams"])}

    return Quotes


def prices_only_the_first_weight(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Parcels) -> Prices:
            first = np.full_like(rows["grams"], rows["grams"][0])
            return {"parcel": rows["parcel"], "price": price(first, rows["zone"])}

    return Quotes


def takes_any_json(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: list[dict[str, Any]]) -> Prices:
            prices = price(np.array([row["grams"] for row in rows]), np.array([row["zone"] for row in rows]))
            return {"parcel": np.array([row["parcel"] for row in rows]), "price": prices}

    return Quotes


def answers_with_a_list(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Parcels) -> list[float]:
            return price(rows["grams"], rows["zone"]).tolist()

    return Quotes


def prices_in_whole_numbers(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Parcels) -> Table[{"parcel": "str", "price": "int64"}]:
            return {"parcel": rows["parcel"], "price": price(rows["grams"], rows["zone"]).astype(np.int64)}

    return Quotes


def weighs_in_float64(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Table[{"parcel": "str", "grams": "float64", "zone": "int64"}]) -> Prices:
            return {"parcel": rows["parcel"], "price": price(rows["grams"], rows["zone"])}

    return Quotes


def calls_the_parameter_parcels(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, parcels: Parcels) -> Prices:
            return {"parcel": parcels["parcel"], "price": price(parcels["grams"], parcels["zone"])}

    return Quotes


def forgets_the_parcels(price: Any) -> Any:
    @service
    class Quotes:
        @api
        def quote(self, rows: Parcels) -> Prices:
            return {"price": price(rows["grams"], rows["zone"])}

    return Quotes


# ask_all


async def one(client: AsyncClient, number: int) -> Any:
    try:
        return await client.owner(number=number)
    except ServiceError as error:
        return error


async def one_after_another(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    async with AsyncClient(address) as client:
        return [await one(client, number) for number in numbers]


async def all_at_once(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    async with AsyncClient(address) as client:
        return await asyncio.gather(*(one(client, number) for number in numbers))


async def in_groups_of_twice_as_many(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    answers: list[Any] = []
    async with AsyncClient(address) as client:
        for first in range(0, len(numbers), 2 * at_once):
            group = numbers[first : first + 2 * at_once]
            answers += await asyncio.gather(*(one(client, number) for number in group))
    return answers


async def as_they_come(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    places = asyncio.Semaphore(at_once)
    async with AsyncClient(address) as client:

        async def ask(number: int) -> Any:
            async with places:
                return await one(client, number)

        return [await each for each in asyncio.as_completed(map(ask, numbers))]


async def drops_what_was_refused(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    places = asyncio.Semaphore(at_once)
    async with AsyncClient(address) as client:

        async def ask(number: int) -> Any:
            async with places:
                return await one(client, number)

        answers = await asyncio.gather(*map(ask, numbers))
    return [answer for answer in answers if not isinstance(answer, ServiceError)]


async def puts_none_for_a_refusal(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    places = asyncio.Semaphore(at_once)
    async with AsyncClient(address) as client:

        async def ask(number: int) -> Any:
            async with places:
                with contextlib.suppress(ServiceError):
                    return await client.owner(number=number)

        return await asyncio.gather(*map(ask, numbers))


async def asks_twice(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    places = asyncio.Semaphore(at_once)
    async with AsyncClient(address) as client:

        async def ask(number: int) -> Any:
            async with places:
                await one(client, number)
                return await one(client, number)

        return await asyncio.gather(*map(ask, numbers))


async def a_place_for_each_question(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    async with AsyncClient(address) as client:

        async def ask(number: int) -> Any:
            async with asyncio.Semaphore(at_once):  # everyone has a semaphore of their own
                return await one(client, number)

        return await asyncio.gather(*map(ask, numbers))


def waits_for_each(address: str, numbers: Sequence[int], at_once: int) -> list[Any]:
    answers: list[Any] = []
    with Client(address) as client:
        for number in numbers:
            try:
                answers.append(client.owner(number=number))
            except ServiceError as error:
                answers.append(error)
    return answers


async def returns_a_dictionary(address: str, numbers: Sequence[int], at_once: int) -> dict[int, Any]:
    places = asyncio.Semaphore(at_once)
    async with AsyncClient(address) as client:

        async def ask(number: int) -> Any:
            async with places:
                return number, await one(client, number)

        return dict(await asyncio.gather(*map(ask, numbers)))


# stream

Item = dict[str, int]


def asks_about_all_first(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> Iterator[Item]:
            for place, digit in enumerate(model(images).argmax(1)):
                yield {"place": place, "digit": int(digit)}

    return Reader


def collects_before_it_sends(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> Iterator[Item]:
            digits = [int(model(images[n : n + 1]).argmax()) for n in range(len(images))]
            for place, digit in enumerate(digits):
                yield {"place": place, "digit": digit}

    return Reader


def one_step_ahead(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> Iterator[Item]:
            before = None
            for place in range(len(images)):
                now = {"place": place, "digit": int(model(images[place : place + 1]).argmax())}
                if before is not None:
                    yield before
                before = now
            if before is not None:
                yield before

    return Reader


def returns_a_list(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> list[Item]:
            return [
                {"place": place, "digit": int(model(images[place : place + 1]).argmax())}
                for place in range(len(images))
            ]

    return Reader


def counts_places_from_one(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> Iterator[Item]:
            for place in range(len(images)):
                yield {"place": place + 1, "digit": int(model(images[place : place + 1]).argmax())}

    return Reader


def streams_the_digit_alone(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> Iterator[int]:
            for place in range(len(images)):
                yield int(model(images[place : place + 1]).argmax())

    return Reader


def streams_the_smallest_score(model: Any) -> Any:
    @service
    class Reader:
        @api
        async def read(self, images: Images) -> AsyncIterator[Item]:
            for place in range(len(images)):
                scores = await asyncio.to_thread(model, images[place : place + 1])
                yield {"place": place, "digit": int(scores.argmin())}

    return Reader


def streams_text(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> Iterator[str]:
            for place in range(len(images)):
                yield str({"place": place, "digit": int(model(images[place : place + 1]).argmax())})

    return Reader


def stops_after_the_first(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Images) -> Iterator[Item]:
            yield {"place": 0, "digit": int(model(images[:1]).argmax())}

    return Reader


def takes_any_size(model: Any) -> Any:
    @service
    class Reader:
        @api
        def read(self, images: Tensor["float32", "batch", 1, "height", "width"]) -> Iterator[Item]:
            for place in range(len(images)):
                yield {"place": place, "digit": int(model(images[place : place + 1]).argmax())}

    return Reader


def batches_a_method_called_read(model: Any) -> Any:
    @service
    class Reader:
        @api(batching=Batching())
        def read(self, images: Images) -> Tensor["int64", "batch"]:
            return model(images).argmax(1)

    return Reader


MISTAKES = {
    "typed": {
        forgets_to_return_the_class: "the class of a @service",
        forgets_the_decorator: "the class of a @service",
        calls_it_predict: "an API called classify",
        takes_lists_as_a_web_framework_would: "does not read application/x-npy",
        leaves_height_and_width_open: "got through to the inside",
        takes_float64: "image in application/x-npy: 422",
        takes_one_image_only: "since nothing is wrong with it",
        forgets_the_channel: "since nothing is wrong with it",
        calls_the_field_pixels: "since nothing is wrong with it",
        promises_nothing: "needs a type as well",
        promises_float64: "the server answered 500",
        answers_with_the_digits: "the model's scores, of shape",
        serves_it_as_a_task: "a long-running task",
        needs_a_path: "does not start",
    },
    "refuse": {
        looks_at_the_top_only: "-0.375: nothing was raised",
        lets_nan_pass: "nan: nothing was raised",
        refuses_the_ends: "no refusal",
        does_not_say_which: "the position of the first image",
        counts_from_one: "the position of the first image",
        names_the_last: "the position of the first image",
        keeps_the_value_to_itself: "one value of that image",
        expects_something_else: "both ends of the range",
        blames_itself: "with the status 500",
        blames_another_field: "the field images",
        returns_the_refusal: "a refusal that is returned",
        mends_instead_of_refusing: "were changed",
        returns_the_images: "the function returns ndarray",
    },
    "quote": {
        prices_row_by_row: "price was called 6 times",
        sorts_by_parcel: "in the order of the rows",
        swaps_the_arguments: "price was given grams as int64",
        prices_only_the_first_weight: "what price says",
        takes_any_json: "since nothing is wrong with it",
        answers_with_a_list: "no table in the type",
        prices_in_whole_numbers: "price as float32",
        weighs_in_float64: "grams as float64",
        calls_the_parameter_parcels: "since nothing is wrong with it",
        forgets_the_parcels: "the server answered 500",
    },
    "ask_all": {
        one_after_another: "never more than 1 on their way",
        all_at_once: "12 questions were on their way",
        in_groups_of_twice_as_many: "8 questions were on their way",
        as_they_come: "the order of the numbers",
        drops_what_was_refused: "one for each number",
        puts_none_for_a_refusal: "the ServiceError there",
        asks_twice: "one question about each",
        a_place_for_each_question: "12 questions were on their way",
        waits_for_each: "a coroutine",
        returns_a_dictionary: "a list of answers",
    },
    "stream": {
        asks_about_all_first: "asked about 4 before the caller had the first digit",
        collects_before_it_sends: "before the caller had the first digit",
        one_step_ahead: "before the caller had the first digit",
        returns_a_list: "all of its answer at once",
        counts_places_from_one: "item 0 is {'place': 1",
        streams_the_digit_alone: "place and digit",
        streams_the_smallest_score: "its largest score's",
        streams_text: "place and digit",
        stops_after_the_first: "1 items",
        takes_any_size: "got through to the inside",
        batches_a_method_called_read: "all of its answer at once",
    },
}
