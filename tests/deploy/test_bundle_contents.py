"""Ways in which a bundle may be incomplete: it is whole, or refused with the reason, and never reported for nothing."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from helpers.cli import main
from helpers.deploy import Bundle, Extras, bundle, contents
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.store import Store
from tests.engine.served import twice_and_sum

START = """
from pathlib import Path
from helpers import store
from helpers.engine import api, depends, service
"""
CLASS = """
@service{settings}
class Shop:
    def __init__(self):
        self.labels = {at_start}

    @api
    def answer(self) -> str:
        {before}
        return {in_method}
"""


def module(at_start: str = "None", in_method: str = "self.labels", before: str = "", settings: str = "") -> str:
    """A service whose answer comes from its start, or from its method."""
    return START + CLASS.format(at_start=at_start, in_method=in_method, before=before or "pass", settings=settings)


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder.resolve()


@pytest.fixture
def code(tmp_path: Path, home: Path) -> Path:
    """A service's folder, and a store with two models."""
    for name in ("net", "spare"):
        Store().save(name, twice_and_sum(tmp_path / "net.onnx", 2.0))
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


NOTHING = Extras()


def pack(code: Path, target: str = "shop:Shop", extras: Extras = NOTHING, seconds: float = 60) -> tuple[Bundle, str]:
    """The bundle, and what was printed."""
    said: list[str] = []
    made = bundle(target, code.parent / "bundles", code, say=said.append, extras=extras, seconds=seconds)
    return made, "\n".join(said)


def answer_of(made: Bundle, elsewhere: Path) -> str:
    """What the service answers out of its bundle: in another folder, without the one that it was made from."""
    name, _, cls = made.target.partition(":")
    program = "import sys; sys.path[:0] = sys.argv[3:]; from importlib import import_module as load; "
    program += "print(getattr(load(sys.argv[1]), sys.argv[2])().answer())"
    command = [sys.executable, "-P", "-B", "-c", program, name, cls, str(made.path / "app"), str(made.path / "kit")]
    known = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    known["SERVELAB_HOME"] = str(made.path / "lab")
    ran = subprocess.run(command, cwd=elsewhere, env=known, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


BESIDE = 'Path(__file__).with_name("labels.txt").read_text()'
DATA = '(Path(__file__).parent / "data" / "labels.txt").read_text()'
SQLITE = (
    """[__import__("sqlite3").connect(Path(__file__).with_name("rows.db")).execute("select 'good'").fetchone()[0]][0]"""
)
LATE_MODEL = "def model():\n    return store.load('net:1')\n"


@dataclass
class Case:
    files: dict[str, str]
    target: str = "shop:Shop"
    extras: Extras = field(default_factory=Extras)
    answer: str = "good"


WHOLE = {
    "a package's data, read when it starts": Case(
        {"shop/__init__.py": module(BESIDE), "shop/labels.txt": "good"},
    ),
    "a package's data, read in its __init__": Case(
        {
            "shop/__init__.py": f"from pathlib import Path\nLABELS = {BESIDE}\n",
            "shop/labels.txt": "good",
            "shop/serving.py": module("__import__('shop').LABELS"),
        },
        "shop.serving:Shop",
    ),
    "a package's data, read by importlib.resources in a method": Case(
        {
            "shop/__init__.py": "",
            "shop/serving.py": module(
                in_method='resources.files("shop").joinpath("data/labels.txt").read_text()',
                before="from importlib import resources",
            ),
            "shop/data/labels.txt": "good",
        },
        "shop.serving:Shop",
    ),
    "a package's module, imported in a method": Case(
        {
            "shop/__init__.py": "",
            "shop/serving.py": module(in_method="prices.LABEL", before="from . import prices"),
            "shop/prices.py": "LABEL = 'good'",
        },
        "shop.serving:Shop",
    ),
    "another module, imported in a method": Case(
        {
            "shop.py": module(in_method="prices.label()", before="import prices"),
            "prices.py": "def label():\n    from deep.inside import LABEL\n    return LABEL",
            "deep/inside.py": "from deep.more import LABEL",
            "deep/more.py": "LABEL = 'good'",
        }
    ),
    "a module by its name as a text": Case(
        {
            "shop.py": module(in_method="load('prices').LABEL", before="from importlib import import_module as load"),
            "prices.py": "LABEL = 'good'",
        },
        extras=Extras(include=["prices.py"]),
    ),
    "a namespace package with data": Case(
        {
            "services/eu/shop.py": module(
                in_method=f"{BESIDE} + deep.LABEL", before="from services.eu.sub import deep"
            ),
            "services/eu/labels.txt": "go",
            "services/eu/sub/deep.py": "LABEL = 'od'",
            "services/other/huge.bin": "not of this service",
        },
        "services.eu.shop:Shop",
    ),
    "a file beside the module, read when it starts": Case({"shop.py": module(BESIDE), "labels.txt": "good"}),
    "a file in a folder beside the module, read when it starts": Case(
        {"shop.py": module(DATA), "data/labels.txt": "good"}
    ),
    "a database": Case({"shop.py": module(SQLITE), "rows.db": ""}),
    "a file that the service declares": Case(
        {"shop.py": module(in_method=BESIDE, settings="(files=['labels.txt'])"), "labels.txt": "good"}
    ),
    "files that the service declares, above its module": Case(
        {
            "services/shop.py": module(
                in_method='(Path(__file__).parents[1] / "data" / "labels.txt").read_text()',
                settings="(files=['../data'])",
            ),
            "data/labels.txt": "good",
        },
        "services.shop:Shop",
    ),
    "a file that is included": Case(
        {"shop.py": module(in_method=DATA), "data/labels.txt": "good"}, extras=Extras(include=["data/labels.txt"])
    ),
    "a folder that is included": Case(
        {"shop.py": module(in_method=DATA), "data/labels.txt": "good"}, extras=Extras(include=["data/"])
    ),
    "a pattern that is included": Case(
        {"shop.py": module(in_method=DATA), "data/labels.txt": "good"}, extras=Extras(include=["**/*.txt"])
    ),
    "a hidden file that is included": Case(
        {"shop.py": module(in_method='Path(__file__).with_name(".labels").read_text()'), ".labels": "good"},
        extras=Extras(include=[".labels"]),
    ),
    "a service in another package, with data": Case(
        {
            "shop.py": "from other.words import Words\n"
            + START
            + "@service\nclass Shop:\n    words = depends(Words)\n    @api\n    def answer(self) -> str:\n"
            + "        return Words().answer()\n",
            "other/__init__.py": "",
            "other/words.py": module(in_method=BESIDE).replace("class Shop", "class Words"),
            "other/labels.txt": "good",
        }
    ),
    "a model that a helper loads in a method": Case(
        {"shop.py": module(in_method="'good' if model().inputs else ''") + LATE_MODEL}
    ),
    "a model with a computed tag": Case(
        {"shop.py": module(in_method="'good' if store.load('sp' + 'are').inputs else ''")},
        extras=Extras(models=["spare"]),
    ),
    "an optional package that is not there": Case(
        {
            "shop.py": "try:\n    import no_such_package\nexcept ImportError:\n    no_such_package = None\n"
            + module(in_method="'good' if no_such_package is None else ''")
        }
    ),
    "a variable of the environment": Case({"shop.py": module("__import__('os').environ['SHOP_LABEL']")}),
}


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_a_bundle_is_whole(case: Case, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_LABEL", "good")
    written(code, case.files)
    made, _ = pack(code, case.target, case.extras)
    code.rename(tmp_path / "gone")
    assert answer_of(made, tmp_path) == case.answer
    there = {path.relative_to(made.path).as_posix() for path in made.path.rglob("*") if not path.is_dir()}
    assert there == {*made.files, "bundle.json"}, "the start left nothing"
    assert not any("other/huge" in name for name in there)


HANGS = "if 'code' not in Path(__file__).parts:\n    import threading\n    threading.Event().wait()\n"
DIES = "if 'code' not in Path(__file__).parts:\n    import os\n    os.kill(os.getpid(), 9)\n"
FAILS = "if 'code' not in Path(__file__).parts:\n    raise ValueError('a price below 0')\n"
WRITES = "Path(__file__).with_name('log.txt').write_text('x')\n"

REFUSED = {
    "a file by the working directory": (
        {"shop.py": module("Path('labels.txt').read_text()"), "labels.txt": "good"},
        {},
        r"does not start: .*FileNotFoundError.*labels.txt",
        r"with_name|Path\(__file__\)",
    ),
    "a file that another library opens": (
        {"shop.py": module("__import__('onnxruntime').InferenceSession(str(Path(__file__).with_name('net.onnx')))")},
        {},
        r"does not start: .*net.onnx",
        r"--include net.onnx",
    ),
    "a module from somewhere else": (
        {"shop.py": "import stray\n" + module()},
        {},
        r"does not start: shop needs stray",
        r"stray was found in .*elsewhere, which is neither",
    ),
    "a part of the kit that does not serve": (
        {"shop.py": "from helpers.text_table import aligned\n" + module()},
        {},
        r"does not start: .*helpers.text_table",
        r"only what serves",
    ),
    "its own error": ({"shop.py": START + FAILS + module()}, {}, r"does not start: .*a price below 0", r"--include"),
    "a start that never ends": (
        {"shop.py": START + HANGS + module()},
        {"seconds": 15},
        r"was not ready within 15 seconds",
        "--timeout",
    ),
    "a start that dies": ({"shop.py": START + DIES + module()}, {}, "does not start: it was killed by signal 9", ""),
    "writing into itself": (
        {"shop.py": START + WRITES + module()},
        {},
        r"writes into its own bundle when it starts: app/log.txt",
        "tempfile",
    ),
    "a link that leads outside": (
        {"shop/__init__.py": module(), "LINK shop/labels.txt": "elsewhere/labels.txt"},
        {},
        r"shop/labels.txt is a link that leads outside",
        "a copy",
    ),
    "a folder's link that leads outside": (
        {"shop/__init__.py": module(), "LINK shop/data": "elsewhere"},
        {},
        r"shop/data/\S+ is a link that leads outside",
        "a copy",
    ),
    "a broken link": (
        {"shop/__init__.py": module(), "LINK shop/data": "nowhere"},
        {},
        r"shop/data cannot be packed: No such file",
        "mend or remove it",
    ),
    "an included file that is not there": (
        {"shop.py": module()},
        {"extras": Extras(include=["labels.txt"])},
        r"--include names 'labels.txt', and there is no such file",
        "looked for in",
    ),
    "an included pattern without a file": (
        {"shop.py": module()},
        {"extras": Extras(include=["data/*.txt"])},
        r"--include names 'data/\*.txt', and there is no such file",
        "",
    ),
    "an included file outside": (
        {"shop.py": module()},
        {"extras": Extras(include=["../elsewhere/labels.txt"])},
        r"--include names '../elsewhere/labels.txt', which lies outside",
        "",
    ),
    "a declared file that is not there": (
        {"shop.py": module(settings="(files=['labels.txt'])")},
        {},
        r"@service\(files=…\) in shop.py names 'labels.txt', and there is no such file",
        "",
    ),
    "a package that is not installed": (
        {"shop.py": module()},
        {"extras": Extras(require=["no-such-package"])},
        "no-such-package is not installed here",
        "pip install",
    ),
    "another version of a package": (
        {"shop.py": module()},
        {"extras": Extras(require=["numpy==1.0"])},
        r"numpy==1.0 is required, and numpy \S+ is installed here",
        "pip install 'numpy==1.0'",
    ),
    "a module in place of its package": (
        {"shop.py": module()},
        {"extras": Extras(require=["yaml"])},
        "yaml is a module of PyYAML",
        "--require PyYAML",
    ),
    "no requirement": ({"shop.py": module()}, {"extras": Extras(require=["a b"])}, "'a b' is not a requirement", ""),
    "no model": ({"shop.py": module()}, {"extras": Extras(models=["none"])}, "no model called 'none'", ""),
    "no variable": ({"shop.py": module("__import__('os').environ['NO_SUCH']")}, {}, "KeyError: 'NO_SUCH'", ""),
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other links and no signals")
@pytest.mark.parametrize(("files", "options", "sentence", "remedy"), REFUSED.values(), ids=REFUSED)
def test_an_incomplete_bundle_is_refused(
    code: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    options: dict[str, Any],
    sentence: str,
    remedy: str,
) -> None:
    elsewhere = written(tmp_path / "elsewhere", {"labels.txt": "good", "stray.py": ""})
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    for name, text in files.items():
        if name.startswith("LINK "):
            (code / name.removeprefix("LINK ")).symlink_to(tmp_path / text)
        else:
            written(code, {name: text})
    (code / "net.onnx").write_bytes((tmp_path / "net.onnx").read_bytes())
    with pytest.raises(UserError) as refused:
        pack(code, **options)
    assert re.search(sentence, refused.value.sentence), refused.value.sentence
    assert re.search(remedy, refused.value.remedy), refused.value.remedy
    assert "\n" not in refused.value.sentence and "Traceback" not in refused.value.sentence
    assert not list((tmp_path / "bundles").glob("*")), "no bundle is left, nor a part of one"


def test_what_is_packed_and_what_is_not_is_said(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "HUGE_BYTES", 1000)
    late = "import yaml\n        import helpers.convert\n        __import__('os').getenv('SHOP_MODE')"
    written(
        code,
        {
            "shop/__init__.py": module(BESIDE, in_method=f"{DATA} + str(Path('more') / 'beside.txt')", before=late),
            "shop/labels.txt": "good",
            "shop/large.bin": "x" * 2000,
            "shop/.env": "PASSWORD=x",
            "shop/__pycache__/old.pyc": "",
            "shop/.git/config": "",
            "shop/venv/pyvenv.cfg": "",
            "shop/venv/lib/numpy.py": "",
            "more/beside.txt": "",
        },
    )
    made, said = pack(code)
    assert {name for name in made.files if name.startswith("app/")} == {"app/shop/__init__.py", "app/shop/labels.txt"}
    for line in (
        "data: shop/labels.txt (4 bytes)",
        "left out: shop/large.bin (2 kB); if the service reads it, add --include shop/large.bin",
        "imports yaml in a function, and it is not packed; if requests need it, add --require pyyaml",
        "imports helpers.convert, which is not a part",
        "names more, which is not packed; if the service reads it, add --include more",
        "a bundle does not hold: SHOP_MODE",
        "it was started, was ready, and was stopped",
    ):
        assert line in said
    named, _ = pack(code, extras=Extras(["shop/large.bin"], ["PyYAML"]))
    assert "app/shop/large.bin" in named.files
    assert named.packages["pyyaml"] == importlib.metadata.version("PyYAML")


def test_a_log_of_the_service_does_not_change_its_bundle(code: Path) -> None:
    """What a start in the service's own folder writes is different each time."""
    log = "import os\nPath(os.environ.get('LOG', __file__)).with_name('log.txt').open('a').write('started\\n')\n"
    written(code, {"shop/__init__.py": START + log + module(), "shop/labels.txt": "good"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOG", str(code / "shop" / "x"))
        one, said = pack(code)
        other, _ = pack(code)
    assert "left out: shop/log.txt (written at the start)" in said
    assert one.version == other.version and "app/shop/log.txt" not in one.files


def test_the_command_takes_what_is_named(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(code, {"shop.py": module(in_method=BESIDE), "labels.txt": "good"})
    command = [sys.executable, "-m", "helpers", "bundle", "shop:Shop", "--include", "labels.txt", "--require", "PyYAML"]
    command += ["--model", "spare", "--timeout", "60"]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=code, env=known, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (made,) = map(Bundle.read, (code / "bundles").iterdir())
    assert "app/labels.txt" in made.files and "pyyaml" in made.packages
    assert any(name.startswith("lab/store/spare/") for name in made.files)


def test_in_a_checkout_its_own_modules_and_its_store_are_not_taken_for_the_services(code: Path, tmp_path: Path) -> None:
    """The folder of the service is that of ``helpers`` too, as in a clone."""
    late = "from helpers.convert import to_onnx"
    written(code, {"shop.py": module(f"(store.load('net'), {BESIDE})[1]", before=late), "labels.txt": "good"})
    shutil.copytree(ROOT / "helpers", code / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(tmp_path / "lab", code / "lab")
    known = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    known |= {"SERVELAB_HOME": str(code / "lab")}
    program = "from helpers.deploy import bundle; from pathlib import Path; bundle('shop:Shop', Path('out'))"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=code, env=known, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (made,) = map(Bundle.read, (code / "out").iterdir())
    assert {name for name in made.files if name.startswith("app/")} == {"app/shop.py", "app/labels.txt"}
    assert "imports helpers.convert, which is not a part" in ran.stdout


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_limit_is_a_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "shop:Shop", "--timeout", text]) == 2
    assert "--timeout" in capsys.readouterr().err
