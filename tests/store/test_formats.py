"""Each kind of model comes back as it was, in another process too; what could run code is opened only on request."""

import pickle
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from torch import nn

from helpers import zoo
from helpers.convert import to_onnx
from helpers.errors import UserError
from helpers.store import Format, Store, formats, register
from tests.store.models import ROWS, multiply_by

DATA = zoo.flat_digits()
TEST = DATA.test_images


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def scores(model: Any) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(zoo.digits().test_images)))


def test_an_onnx_file_with_its_weights_beside_it(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    torch.onnx.export(
        nn.Linear(300, 300).eval(), (torch.rand(2, 300),), source, dynamic_shapes=({0: "batch"},), verbose=False
    )
    assert (tmp_path / "net.onnx.data").exists()
    stored = store.save("net", source)
    rows = np.random.default_rng(0).random((3, 300), dtype=np.float32)
    wanted = store.load("net")(rows)
    for file in tmp_path.glob("net.onnx*"):
        file.unlink()
    assert np.array_equal(store.load("net")(rows), wanted), "the store needs nothing from where the model came"
    assert set(stored.record.files) == {"model.onnx", "net.onnx.data"}
    to_onnx(nn.Linear(3, 3), ROWS, source)
    source.rename(tmp_path / "other.onnx")
    assert store.save("net", str(tmp_path / "other.onnx")).tag == "net:2"


def test_an_onnx_file_that_lost_its_weights_is_not_kept(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    torch.onnx.export(nn.Linear(300, 300), (torch.rand(2, 300),), source, verbose=False)
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(UserError, match="keeps its weights in"):
        store.save("net", source)
    with pytest.raises(UserError, match="There is no file"):
        store.save("net", tmp_path / "none.onnx")


def test_a_model_of_the_onnx_package(store: Store) -> None:
    import onnx

    store.save("net", onnx.load_from_string(multiply_by(5)))
    assert float(store.load("net")(ROWS)[0, 1]) == 5


def test_a_torch_module(store: Store) -> None:
    model = zoo.digits_cnn()
    store.save("net", model.train())
    with pytest.raises(UserError, match="torch model; opening such a file can run any code"):
        store.load("net")
    loaded = store.load("net", trust=True)
    assert not loaded.training and np.array_equal(scores(loaded), scores(model.eval()))


def test_a_script_module(store: Store) -> None:
    model = zoo.digits_cnn()
    stored = store.save("net", torch.jit.script(model))
    assert stored.record.format == "torchscript"
    assert np.allclose(scores(store.load("net", trust=True)), scores(model), atol=1e-5)


def test_a_state_dict_needs_no_trust(store: Store) -> None:
    model = zoo.digits_cnn()
    stored = store.save("net", model.state_dict())
    assert stored.record.format == "torch-state"
    from helpers.zoo.digit_classifier import untrained

    again = untrained()
    again.load_state_dict(store.load("net"))
    assert np.array_equal(scores(again.eval()), scores(model))


def test_a_state_dict_that_is_a_trap_does_not_spring(store: Store) -> None:
    """The file of a version that needs no trust is replaced by a pickle, with digests to match."""
    stored = store.save("net", nn.Linear(2, 2).state_dict())
    touched = stored.path.parent / "touched"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (touched,)

    (stored.path / "state.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(Exception, match=r"weights_only|Unsupported|not what was saved"):
        formats.format_called("torch-state").read(stored.path, {}, "cpu")
    assert not touched.exists()


def test_scikit_learn(store: Store) -> None:
    model = zoo.digits_pipeline()
    store.save("net", model)
    with pytest.raises(UserError, match="sklearn model; opening such a file"):
        store.load("net")
    loaded = store.load("net", trust=True)
    assert np.array_equal(loaded.predict_proba(TEST), model.predict_proba(TEST))
    assert "scikit-learn" in store.get("net").record.libraries


def test_xgboost_needs_no_trust(store: Store) -> None:
    model = zoo.digits_xgboost()
    stored = store.save("net", model)
    loaded = store.load("net")
    assert stored.record.format == "xgboost" and isinstance(loaded, xgboost.XGBClassifier)
    assert np.array_equal(loaded.predict_proba(TEST), model.predict_proba(TEST))
    store.save("net", model.get_booster())
    again = store.load("net")
    assert isinstance(again, xgboost.Booster)
    assert np.allclose(again.predict(xgboost.DMatrix(TEST)), model.predict_proba(TEST))


def test_lightgbm_comes_back_as_a_booster(store: Store) -> None:
    model = zoo.digits_lightgbm()
    assert store.save("net", model).record.format == "lightgbm"
    loaded = store.load("net")
    assert isinstance(loaded, lightgbm.Booster)
    assert np.allclose(loaded.predict(TEST), model.predict_proba(TEST))


def test_keras_and_its_saved_model(store: Store, tmp_path: Path) -> None:
    model = zoo.digits_keras()
    assert store.save("net", model).record.format == "keras"
    assert np.allclose(store.load("net")(TEST).numpy(), model(TEST).numpy(), atol=1e-6)
    model.export(str(tmp_path / "saved"), format="tf_saved_model", verbose=False)
    stored = store.save("saved", tmp_path / "saved")
    assert stored.record.format == "tensorflow"
    with pytest.raises(UserError, match="tensorflow model; opening such a file"):
        store.load("saved")
    (answer,) = store.load("saved", trust=True).signatures["serving_default"](pixels=TEST[:3]).values()
    assert np.allclose(answer.numpy(), model(TEST[:3]).numpy(), atol=1e-6)


def test_a_keras_model_with_python_inside_is_not_run(store: Store) -> None:
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda rows: rows * 2)])
    store.save("net", model)
    with pytest.raises(UserError, match="holds Python code"):
        store.load("net")


class Abacus:
    def __init__(self, beads: int) -> None:
        self.beads = beads


def test_a_kind_of_ones_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_registered", [])
    with pytest.raises(UserError, match=r"does not know how to keep a .*Abacus"):
        store.save("counter", Abacus(7))

    def write(model: Abacus, folder: Path) -> dict[str, str]:
        (folder / "beads.txt").write_text(str(model.beads), "utf-8")
        return {}

    def read(folder: Path, details: dict[str, str], device: str) -> Abacus:
        return Abacus(int((folder / "beads.txt").read_text("utf-8")))

    register(Format("abacus", lambda model: isinstance(model, Abacus), write, read, runs_code=False))
    store.save("counter", Abacus(7))
    assert store.load("counter").beads == 7
    monkeypatch.setattr(formats, "_registered", [])
    with pytest.raises(UserError, match="No kind of model called 'abacus' is known here"):
        store.load("counter")


def test_a_framework_that_is_missing_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save("net", zoo.digits_xgboost())
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(UserError, match="xgboost model needs xgboost, which this Python does not have"):
        store.load("net")


@pytest.mark.parametrize("model", [object(), 3, {"a": 1}, {}, "notes.txt", Path("/nowhere")])
def test_what_is_no_model_is_refused(store: Store, model: Any) -> None:
    with pytest.raises(UserError, match=r"does not know how to keep|neither an ONNX file"):
        store.save("net", model)
    assert store.names() == []


def test_an_unknown_device_is_told(store: Store) -> None:
    store.save("net", multiply_by(2))
    with pytest.raises(UserError, match="no provider 'abacus'"):
        store.load("net", device="abacus")
