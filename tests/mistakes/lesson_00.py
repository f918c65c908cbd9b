"""What goes wrong in lesson 00."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Frameworks = list[dict[str, Any]]

# ask


def answer_to(address: str, image: Any, model: str = "digits", **changed: Any) -> Any:
    tensor = {"name": "images", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": np.ravel(image).tolist()}
    answer = httpx.post(f"{address}/v2/models/{model}/infer", json={"inputs": [tensor | changed]})
    return answer.json()["outputs"][0]["data"]


def forgets_the_batch(address: str, image: Image) -> Any:
    return answer_to(address, image, shape=[1, 8, 8])


def names_another_input(address: str, image: Image) -> Any:
    return answer_to(address, image, name="image")


def asks_another_model(address: str, image: Image) -> Any:
    return answer_to(address, image, model="digit")


def sends_half_of_it(address: str, image: Image) -> Any:
    return answer_to(address, image[:, :4])


def sends_whole_numbers(address: str, image: Image) -> Any:
    return answer_to(address, image, datatype="INT64")


def turns_the_image(address: str, image: Image) -> Any:
    return answer_to(address, image.transpose(0, 2, 1))


def makes_it_brighter(address: str, image: Image) -> Any:
    return answer_to(address, 16 * image)


def rounds_the_pixels(address: str, image: Image) -> Any:
    return answer_to(address, image.round(1))


def returns_the_whole_answer(address: str, image: Image) -> Any:
    tensor = {"name": "images", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": image.ravel().tolist()}
    return httpx.post(f"{address}/v2/models/digits/infer", json={"inputs": [tensor]}).json()


def returns_the_rows(address: str, image: Image) -> Any:
    return [answer_to(address, image)]


def returns_the_label(address: str, image: Image) -> Any:
    return int(np.argmax(answer_to(address, image)))


def returns_shares(address: str, image: Image) -> Any:
    powers = np.exp(np.array(answer_to(address, image)))
    return powers / powers.sum()


def asks_pixel_by_pixel(address: str, image: Image) -> Any:
    for _ in range(3):
        scores = answer_to(address, image)
    return scores


def does_not_ask(address: str, image: Image) -> Any:
    return [0.0] * 10


def sends_text_that_is_no_json(address: str, image: Image) -> Any:
    answer = httpx.post(f"{address}/v2/models/digits/infer", content=str(image))
    return answer.json()["outputs"][0]["data"]


# likeliest


def shares_of(scores: Any) -> NDArray[np.float64]:
    powers = np.exp(np.array(scores) - max(scores))
    return np.asarray(powers / powers.sum())


def pairs(shares: Any, places: Any) -> list[tuple[int, float]]:
    return [(int(place), float(shares[place])) for place in places]


def forgets_the_softmax(scores: list[float], most: int) -> Any:
    return pairs(scores, np.argsort(scores)[::-1][:most])


def sorts_upwards(scores: list[float], most: int) -> Any:
    return pairs(shares_of(scores), np.argsort(scores)[:most])


def likeliest_last(scores: list[float], most: int) -> Any:
    return pairs(shares_of(scores), np.argsort(scores)[-most:])


def overflows(scores: list[float], most: int) -> Any:
    powers = np.exp(np.array(scores))
    return pairs(powers / powers.sum(), np.argsort(scores)[::-1][:most])


def softmax_over_the_best_only(scores: list[float], most: int) -> Any:
    places = np.argsort(scores)[::-1][:most]
    return [(int(place), share) for place, share in zip(places, shares_of(sorted(scores)[::-1][:most]), strict=True)]


def divides_the_scores(scores: list[float], most: int) -> Any:
    return pairs(np.array(scores) / np.sum(np.abs(scores)), np.argsort(scores)[::-1][:most])


def powers_of_two(scores: list[float], most: int) -> Any:
    powers = 2.0 ** (np.array(scores) - max(scores))
    return pairs(powers / powers.sum(), np.argsort(scores)[::-1][:most])


def in_percent(scores: list[float], most: int) -> Any:
    return pairs(100 * shares_of(scores), np.argsort(scores)[::-1][:most])


def names_only(scores: list[float], most: int) -> Any:
    return np.argsort(scores)[::-1][:most].tolist()


def probability_first(scores: list[float], most: int) -> Any:
    return [(share, place) for place, share in pairs(shares_of(scores), np.argsort(scores)[::-1][:most])]


def all_of_them(scores: list[float], most: int) -> Any:
    return pairs(shares_of(scores), np.argsort(scores)[::-1])


def always_three(scores: list[float], most: int) -> Any:
    return pairs(shares_of(scores), np.argsort(scores)[::-1][:3])


# count


def adder(fits: Callable[[str, str, dict[str, str]], bool]) -> Callable[..., float]:
    def count(metrics: str, name: str, **labels: str) -> float:
        lines = [line for line in metrics.splitlines() if not line.startswith("#") and fits(line, name, labels)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    return count


def labels_of(line: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', line))


def named(line: str, name: str) -> bool:
    return re.split(r"[{ ]", line)[0] == name


def begins_in_the_same_way(metrics: str, name: str, **labels: str) -> float:
    fits = adder(lambda line, name, labels: line.startswith(name) and labels.items() <= labels_of(line).items())
    return fits(metrics, name, **labels)


def ignores_the_labels(metrics: str, name: str, **labels: str) -> float:
    return adder(lambda line, name, labels: named(line, name))(metrics, name, **labels)


def wants_no_other_labels(metrics: str, name: str, **labels: str) -> float:
    return adder(lambda line, name, labels: named(line, name) and labels == labels_of(line))(metrics, name, **labels)


def any_label_will_do(metrics: str, name: str, **labels: str) -> float:
    def fits(line: str, name: str, labels: dict[str, str]) -> bool:
        return named(line, name) and (not labels or bool(labels.items() & labels_of(line).items()))

    return adder(fits)(metrics, name, **labels)


def in_this_order_only(metrics: str, name: str, **labels: str) -> float:
    wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return adder(lambda line, name, labels: named(line, name) and wanted in line)(metrics, name, **labels)


def the_first_line_only(metrics: str, name: str, **labels: str) -> float:
    for line in metrics.splitlines():
        if named(line, name) and labels.items() <= labels_of(line).items():
            return float(line.rsplit(" ", 1)[1])
    return 0


def counts_the_lines(metrics: str, name: str, **labels: str) -> float:
    return sum(named(line, name) and labels.items() <= labels_of(line).items() for line in metrics.splitlines())


def looks_for_braces(metrics: str, name: str, **labels: str) -> float:
    fits = adder(lambda line, name, labels: line.startswith(name + "{") and labels.items() <= labels_of(line).items())
    return fits(metrics, name, **labels)


def gives_nothing_for_nothing(metrics: str, name: str, **labels: str) -> Any:
    fits = adder(lambda line, name, labels: named(line, name) and labels.items() <= labels_of(line).items())
    return fits(metrics, name, **labels) or None


# shortlist


def fits_all(each: dict[str, Any], needs: dict[str, Any]) -> bool:
    return all(each.get(need) == value for need, value in needs.items())


def any_need_will_do(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    return [
        each["name"]
        for each in frameworks
        if each["year"] >= since and (not needs or any(each.get(need) == value for need, value in needs.items()))
    ]


def forgets_the_year(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    return [each["name"] for each in frameworks if fits_all(each, needs)]


def later_than_that_year(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    return [each["name"] for each in frameworks if each["year"] > since and fits_all(each, needs)]


def needs_must_be_true(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    return [each["name"] for each in frameworks if each["year"] >= since and all(each.get(need) for need in needs)]


def unknown_is_good_enough(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    return [
        each["name"]
        for each in frameworks
        if each["year"] >= since and all(each.get(need, value) == value for need, value in needs.items())
    ]


def returns_all_that_is_known(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    return [each for each in frameworks if each["year"] >= since and fits_all(each, needs)]


def sorts_by_year(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    fit = [each for each in frameworks if each["year"] >= since and fits_all(each, needs)]
    return [each["name"] for each in sorted(fit, key=lambda each: -each["year"])]


def crosses_out_in_the_list_itself(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    for each in frameworks[:]:
        if each["year"] < since or not fits_all(each, needs):
            frameworks.remove(each)
    return [each["name"] for each in frameworks]


def stops_at_the_first(frameworks: Frameworks, since: int, **needs: Any) -> Any:
    return [each["name"] for each in frameworks if each["year"] >= since and fits_all(each, needs)][:1]


MISTAKES = {
    "ask": {
        forgets_the_batch: "refused the question with 422",
        names_another_input: "refused the question with 422",
        asks_another_model: "refused the question with 404",
        sends_half_of_it: "as its shape [1, 1, 8, 8] says",
        sends_whole_numbers: "refused the question with 422",
        sends_text_that_is_no_json: "refused the question with 400",
        turns_the_image: "away from the model's for this image",
        makes_it_brighter: "away from the model's for this image",
        rounds_the_pixels: "away from the model's for this image",
        returns_the_whole_answer: "the result is dict",
        returns_the_rows: "numbers of shape (1, 10)",
        returns_the_label: "the result is int",
        returns_shares: "numbers that add up to 1",
        asks_pixel_by_pixel: "3 questions for one image",
        does_not_ask: "the server was not asked",
    },
    "likeliest": {
        forgets_the_softmax: "shares of one",
        sorts_upwards: "the likeliest first",
        likeliest_last: "the likeliest first",
        overflows: "the probability [nan]",
        softmax_over_the_best_only: "for 3 of 10 classes",
        divides_the_scores: "shares of one",
        powers_of_two: "shares of one",
        in_percent: "shares of one",
        names_only: "a list of pairs",
        probability_first: "the class, a whole number",
        all_of_them: "10 pairs, where 3 were asked for",
        always_three: "3 pairs, where 10 were asked for",
    },
    "count": {
        begins_in_the_same_way: "the sum of their numbers",
        ignores_the_labels: "the sum of their numbers",
        wants_no_other_labels: "route='v2')",
        any_label_will_do: "the sum of their numbers",
        in_this_order_only: "status='422', route='v1'",
        the_first_line_only: "the sum of their numbers",
        counts_the_lines: "the sum of their numbers",
        looks_for_braces: "servelab_workers",
        gives_nothing_for_nothing: "a number",
    },
    "shortlist": {
        any_need_will_do: "only those that fit",
        forgets_the_year: "only those that fit",
        later_than_that_year: "all those that fit",
        needs_must_be_true: "that fit",
        unknown_is_good_enough: "only those that fit",
        returns_all_that_is_known: "each a text",
        sorts_by_year: "the order of the list",
        crosses_out_in_the_list_itself: "is another one now",
        stops_at_the_first: "all those that fit",
    },
}
