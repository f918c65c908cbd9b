"""Keras: layers that prepare, count and remember, several inputs and outputs, and code of one's own."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tests.convert.cases import Answers, Case
from tests.convert.cases.tables import draw

CASES: list[Case] = []


def rows(count: int, *shape: int) -> Any:
    return draw(count).normal(size=(count, *(shape or (4,)))).astype(np.float32)


def varied(*shape: int) -> list[Any]:
    """Batches of 1, 3 and 7; negative numbers, zeros and halves."""
    drawn = rows(7, *shape)
    return [rows(1, *shape), rows(3, *shape), drawn, -np.abs(drawn), np.zeros_like(drawn), np.round(drawn * 2) / 2]


def called(*names: str) -> Callable[[Any, Any], Answers]:
    """The oracle calls the model itself; ``names`` are for what it returns without names."""

    def oracle(model: Any, inputs: Any) -> Answers:
        given = model(list(inputs) if isinstance(inputs, tuple) else inputs, training=False)
        if isinstance(given, Mapping):
            return {name: np.asarray(tensor) for name, tensor in given.items()}
        tensors = given if isinstance(given, (list, tuple)) else [given]
        return dict(zip(names, map(np.asarray, tensors), strict=True))

    return oracle


def add(
    name: str, make: Callable[[], Any], oracle: Any, batches: list[Any], inputs: Any = ("x",), **options: Any
) -> None:
    def seeded() -> Any:
        keras.utils.set_random_seed(0)
        return make()

    example = batches[1]
    CASES.append(Case(f"keras {name}", seeded, example, oracle, lambda _: batches, inputs, options))


def refuse(name: str, make: Callable[[], Any], sentence: str, remedy: str, example: Any = None) -> None:
    CASES.append(Case(f"keras {name}", make, rows(4) if example is None else example, refused=(sentence, remedy)))


def sequence(*parts: Any, shape: Any = (4,), dtype: str = "float32") -> Any:
    return keras.Sequential([keras.Input(shape, name="x", dtype=dtype), *parts])


def normalized() -> Any:
    layer = layers.Normalization()
    layer.adapt(draw(0).normal(5, 3, (50, 4)).astype(np.float32))
    return sequence(layer, layers.Dense(2, name="y"))


class Call(keras.Model):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


class Counter(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.count = self.add_weight(name="count", initializer="zeros", trainable=False, shape=())

    def call(self, x: Any) -> Any:
        self.count.assign_add(1.0)
        return x + self.count


class Drops(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.drop = layers.Dropout(0.5)

    def call(self, x: Any) -> Any:
        return self.drop(x, training=True)


def two_inputs() -> Any:
    left, right = keras.Input((4,), name="zeta"), keras.Input((4,), name="alpha")
    return keras.Model([left, right], layers.Subtract(name="y")([left, layers.Rescaling(2)(right)]))


def by_name() -> Any:
    given = {"zeta": keras.Input((4,), name="zeta"), "alpha": keras.Input((4,), name="alpha")}
    return keras.Model(given, {"second": given["zeta"] - given["alpha"], "first": given["alpha"] * 2})


def two_heads() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, {"zeta": layers.Dense(2)(x), "alpha": layers.Dense(3, "gelu")(x)})


Y, OUTPUT = called("y"), called("output")
add("gelu and softmax", lambda: sequence(layers.Dense(8, "gelu"), layers.Dense(3, "softmax", name="y")), Y, varied())
add("normalization", normalized, Y, varied())
add(
    "batch normalization and dropout",
    lambda: sequence(layers.BatchNormalization(), layers.Dropout(0.5, name="y")),
    Y,
    varied(),
)
LENGTH = {"dynamic_axes": [{1: "length"}]}
texts = [
    draw(size).integers(0, 20, (rows_, size)).astype(np.int32)
    for size, rows_ in ((6, 1), (6, 3), (6, 7), (3, 2), (9, 3))
]
masked = lambda: sequence(  # noqa: E731
    layers.Embedding(20, 4, mask_zero=True), layers.GlobalAveragePooling1D(name="y"), shape=(None,), dtype="int32"
)
add("embedding with a mask", masked, Y, texts, **LENGTH)
convolution = lambda: sequence(  # noqa: E731
    layers.Conv1D(4, 3, padding="same"), layers.GlobalMaxPooling1D(name="y"), shape=(None, 5)
)
add("convolution over any length", convolution, Y, [*varied(6, 5), rows(3, 3, 5), rows(2, 11, 5)], **LENGTH)
add("recurrent", lambda: sequence(layers.LSTM(4, name="y"), shape=(6, 5)), Y, varied(6, 5))
add("two outputs by name", two_heads, called(), varied())
add("two inputs in order", two_inputs, Y, [(rows(n), rows(n + 10)[:n]) for n in (1, 3, 7)], ("zeta", "alpha"))
named = [{"zeta": rows(n), "alpha": rows(n + 10)[:n]} for n in (1, 3, 7)]
add("two inputs by name", by_name, called(), named)
add("a model of its own class", lambda: Call(lambda x: ops.square(x) - 1), OUTPUT, varied(), ("input",))
add("row minus the mean of all", lambda: Call(lambda x: x - ops.mean(x, axis=0)), OUTPUT, varied(), ("input",))
branch = lambda x: tf.cond(tf.shape(x)[0] > 2, lambda: x * 2, lambda: x - 1)  # noqa: E731
add("a branch by rows", lambda: Call(branch), OUTPUT, varied(), ("input",))
add("rounding", lambda: Call(tf.round), OUTPUT, varied(), ("input",))

STATE = ("draws random numbers or keeps state between calls", "switch that off in the model")
refuse("dropout that stays on", Drops, *STATE)
refuse("noise", lambda: Call(lambda x: x + tf.random.normal(tf.shape(x))), *STATE)
refuse("a counter", Counter, *STATE)
stateful = lambda: keras.Sequential([keras.Input(batch_shape=(2, 6, 5)), layers.LSTM(4, stateful=True)])  # noqa: E731
refuse("recurrent with state", stateful, *STATE, rows(2, 6, 5))
python = lambda: Call(lambda x: tf.ensure_shape(tf.py_function(lambda v: v * 2, [x], tf.float32), (None, 4)))  # noqa: E731
refuse("code in Python", python, "operator EagerPyFunc", "other operators")
remainder = lambda: Call(lambda x: (x // 3, x % 3))  # noqa: E731
positive = draw(0).integers(0, 10, (4, 4)).astype(np.int32)
refuse("division of whole numbers", remainder, "negative whole numbers", "compute with floats", positive)
