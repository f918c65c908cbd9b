"""Artefacts for platforms: the same bytes each time, and a mistake planted in them is refused in plain words."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from helpers.cli import parse, target
from helpers.deploy import Bundle, targets
from helpers.deploy.targets.rules import expect_tag, label
from helpers.errors import UserError
from tests.deploy.packed import packed_sum

PLATFORMS = sorted(targets.PLATFORMS)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return packed_sum(tmp_path_factory.mktemp("packed"))


def written(platform: str, packed: Bundle, into: Path, image: str | None = None) -> Path:
    return targets.write(platform, packed, into, image, say=lambda line: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_same_bundle_gives_the_same_bytes(platform: str, packed: Bundle, tmp_path: Path) -> None:
    one, other = written(platform, packed, tmp_path / "a"), written(platform, packed, tmp_path / "b")
    assert contents(one) == contents(other)
    assert written(platform, packed, one) == one, "what is there already is what would be written"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_needs_an_account_is_said_not_to_have_been_run(platform: str, packed: Bundle, tmp_path: Path) -> None:
    text = (written(platform, packed, tmp_path / "a") / "README.md").read_text()
    block = re.search(r"```\n(.*?)```", text, re.DOTALL)
    assert block and "not run" in block[1] and "they were not run" in text


@pytest.mark.parametrize("platform", PLATFORMS)
def test_somebodys_edits_are_not_written_over(platform: str, packed: Bundle, tmp_path: Path) -> None:
    folder = written(platform, packed, tmp_path / "a")
    (folder / "README.md").write_text("mine")
    with pytest.raises(UserError, match="is not what would be written"):
        written(platform, packed, folder)
    assert (folder / "README.md").read_text() == "mine"
    assert targets.check(platform, folder, packed, lambda line: None) == folder


CLOUD_RUN = [
    ("containerConcurrency: 80", "containerConcurency: 80", "containerConcurency"),
    ("containerConcurrency: 80", "containerConcurrency: 5000", "<= 1000"),
    ("containerPort: 8080", "containerPort: 9000", "startupProbe asks port 8080, and the container listens on 9000"),
    ("httpGet: {path: /livez, port: 8080}", "httpGet: {path: /livez, port: 80}", "livenessProbe asks port 80"),
    ("path: /readyz", "path: /health", "startupProbe asks /health"),
    ("livenessProbe:", "aliveProbe:", "aliveProbe"),
    ("memory: 512Mi", "memory: 512MB", "memory"),
    ("              memory: 512Mi\n", "", "missing required field `memory`"),
    ("failureThreshold: 60", "failureThreshold: 600", "a start may take 600 s"),
    ("timeoutSeconds: 5", "timeoutSeconds: 50", "longer than its period"),
    ("- name: WORKERS", "- name: PORT", "PORT is the platform's to set"),
    ('maxScale: "10"', "maxScale: 10", "Expected `str`, got `int`"),
    ('minScale: "0"', 'minScale: "11"', "minScale 11 is more than maxScale 10"),
    ('maxScale: "10"', 'most: "10"', "do not say maxScale"),
    ("kind: Service", "kind: Deployment", "kind"),
    ("kind: Service", "kind: [Service", "service.yaml"),
]
KUBERNETES = [
    ("deployment.yaml", "imagePullPolicy", "imagePullPolice", "imagePullPolice"),
    ("deployment.yaml", "strategy:", "strategie:", "strategie"),
    ("deployment.yaml", "livenessProbe:", "startProbe:", "startProbe"),
    ("deployment.yaml", "apiVersion: apps/v1", "apiVersion: apps/v9", "apiVersion"),
    ("deployment.yaml", "{path: /livez, port: http}", "{path: /livez, port: web}", "livenessProbe asks port web"),
    ("deployment.yaml", "{path: /livez, port: http}", "{path: /health, port: http}", "livenessProbe asks /health"),
    ("deployment.yaml", 'value: "8080"', 'value: "3000"', "PORT is 3000, and containerPort 8080"),
    ("deployment.yaml", 'value: "8080"', "value: 8080", "8080 is not of type"),
    ("deployment.yaml", "            limits: {memory: 512Mi}", "           #", "has no resources.limits.memory"),
    ("deployment.yaml", "requests: {cpu: 500m, ", "requests: {", "has no resources.requests.cpu"),
    ("deployment.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot is not True"),
    ("deployment.yaml", "readOnlyRootFilesystem: true", "privileged: false", "readOnlyRootFilesystem is not True"),
    ("deployment.yaml", "{drop: [ALL]}", "{add: [ALL]}", "keeps capabilities"),
    ("deployment.yaml", "mountPath: /tmp", "mountPath: /data", "/tmp cannot be written to"),
    ("service.yaml", "targetPort: http", "targetPort: 3000", "targetPort is 3000"),
    ("service.yaml", 'name: "sum"}', 'name: "sums"}', "service.yaml selects other pods"),
    ("service.yaml", "kind: Service", "kind: Deployment", "service.yaml is no Service"),
    ("autoscaler.yaml", 'Deployment, name: "sum"', 'Deployment, name: "other"', "scales other, which is not sum"),
    ("autoscaler.yaml", "minReplicas: 2", "minReplicas: 20", "minReplicas 20 is more than maxReplicas 10"),
    ("autoscaler.yaml", "minReplicas:", "minReplica:", "minReplica"),
    ("disruption-budget.yaml", "maxUnavailable: 1", "maxUnavailable: 0", "no node can be emptied"),
    ("disruption-budget.yaml", "maxUnavailable: 1", "minAvailable: 2", "no node can be emptied"),
]
LAMBDA = [
    ("function.json", '"Timeout"', '"TimeOut"', "TimeOut"),
    ("function.json", '"Timeout": 30', '"Timeout": 1000', "<= 900"),
    ("function.json", '  "MemorySize": 1024,\n', "", "missing required field `MemorySize`"),
    ("function.json", '"PackageType": "Image"', '"PackageType": "Zip"', "Zip"),
    ("function.json", "role/ROLE", "user/ME", "Role"),
    ("handler.py", 'lifespan="off"', 'lifespan="on"', "opens it anew for each event"),
    ("handler.py", "handler = Mangum", "handle = Mangum", "makes no handler"),
    ("Dockerfile", 'CMD ["handler.handler"]', 'CMD ["app.handler"]', "has no line CMD"),
    ("requirements.txt", "mangum==", "mangum>=", "is not one exact version"),
]
AZURE = [
    ("host.json", '"routePrefix": ""', '"routePrefix": "api"', "asked for /api/"),
    ("host.json", '"routePrefix": "", ', "", "missing required field `routePrefix`"),
    ("host.json", '"functionTimeout"', '"timeout"', "timeout"),
    ("host.json", "00:01:00", "01:00:00", "is not allowed"),
    ("host.json", "[4.*, 5.0.0)", "[1.*, 2.0.0)", "version"),
    ("function_app.py", "AuthLevel.FUNCTION", "AuthLevel.ANONYMOUS", "lets anybody ask"),
    ("function_app.py", "app = func.AsgiFunctionApp", "application = func.AsgiFunctionApp", "has no app"),
    ("requirements.txt", "onnxruntime==", "# ", "lacks onnxruntime"),
    ("requirements.txt", "azure-functions==", "# ", "lacks azure-functions"),
    ("requirements.txt", "msgspec==", "msgspec~=", "is not one exact version"),
]
PLANTED = [("cloud-run", "service.yaml", *planted) for planted in CLOUD_RUN]
PLANTED += [("kubernetes", *planted) for planted in KUBERNETES]
PLANTED += [("lambda", *planted) for planted in LAMBDA] + [("azure", *planted) for planted in AZURE]


@pytest.mark.parametrize(("platform", "name", "right", "wrong", "told"), PLANTED)
def test_a_planted_mistake_is_refused(
    platform: str, name: str, right: str, wrong: str, told: str, packed: Bundle, tmp_path: Path
) -> None:
    folder = written(platform, packed, tmp_path / "a")
    text = (folder / name).read_text()
    assert right in text, "there is something to spoil"
    (folder / name).write_text(text.replace(right, wrong, 1))
    with pytest.raises(UserError, match=re.escape(told)) as raised:
        targets.check(platform, folder, packed)
    assert raised.value.sentence.startswith(name) and raised.value.remedy and "\n" not in raised.value.sentence


@pytest.mark.parametrize("platform", ["cloud-run", "kubernetes", "lambda"])
@pytest.mark.parametrize("image", ["sum", "sum:latest", "host:5000/team/sum", "sum:", "sum@sha256:12"])
def test_an_image_that_may_change_is_refused(platform: str, image: str, packed: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which is another image tomorrow"):
        written(platform, packed, tmp_path / "a", image)
    assert not list(tmp_path.iterdir())
    folder = written(platform, packed, tmp_path / "a", "host:5000/team/sum:1.2")
    name = {"cloud-run": "service.yaml", "kubernetes": "deployment.yaml", "lambda": "function.json"}[platform]
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("host:5000/team/sum:1.2", image))
    with pytest.raises(UserError, match="which is another image tomorrow"):
        targets.check(platform, folder, packed)


def test_a_digest_names_an_image_too() -> None:
    expect_tag(f"host/sum@sha256:{'a' * 64}", "here")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_missing_file_is_told(platform: str, packed: Bundle, tmp_path: Path) -> None:
    for name in sorted(set(targets.PLATFORMS[platform].files(packed, "a:1")) - {"README.md", ".funcignore"}):
        folder = written(platform, packed, tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(UserError, match=f"{re.escape(name)} is missing"):
            targets.check(platform, folder, packed)


@pytest.mark.parametrize("platform", targets.WITH_BUNDLE)
def test_the_bundle_that_goes_along_is_whole(platform: str, packed: Bundle, tmp_path: Path) -> None:
    folder = written(platform, packed, tmp_path / "a")
    with (folder / "bundle" / "app" / "adder.py").open("a") as code:
        code.write("\n")
    with pytest.raises(UserError, match=r"bundle was changed: app/adder.py"):
        targets.check(platform, folder, packed)


def test_a_bundle_that_was_changed_is_not_shipped(packed: Bundle, tmp_path: Path) -> None:
    copy = Bundle.read(shutil.copytree(packed.path, tmp_path / "copy"))
    (copy.path / "app" / "adder.py").write_text("")
    with pytest.raises(UserError, match="was changed after it was packed"):
        written("kubernetes", copy, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_without_kubernetes_schemas_the_rest_is_checked_and_that_is_said(
    packed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes_validate", None)
    said: list[str] = []
    folder = targets.write("kubernetes", packed, tmp_path / "a", say=said.append)
    assert "setup --extra deploy" in said[0]
    text = (folder / "service.yaml").read_text().replace("targetPort: http", "targetPort: 1")
    (folder / "service.yaml").write_text(text)
    with pytest.raises(UserError, match="nothing listens there"):
        targets.check("kubernetes", folder, packed)


def test_the_lambda_dockerfile_is_what_a_linter_wants(packed: Bundle, tmp_path: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if not hadolint:
        pytest.skip("hadolint is not installed")
    folder = written("lambda", packed, tmp_path / "a")
    ran = subprocess.run([hadolint, str(folder / "Dockerfile")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_the_command_writes_and_checks(
    packed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        return target.run(parse("target", target, [*arguments]))

    monkeypatch.chdir(tmp_path)
    assert run("kubernetes", str(packed.path)) == 0
    assert "nothing to object to" in capsys.readouterr().out
    assert (tmp_path / "targets" / "kubernetes" / "deployment.yaml").is_file()
    assert run("kubernetes", str(packed.path), "--check") == 0
    assert run("cloud-run", str(packed.path), "--into", "here", "--image", "host/sum:1") == 0
    assert 'image: "host/sum:1"' in Path("here/service.yaml").read_text()
    with pytest.raises(UserError, match="There is no folder"):
        run("azure", str(packed.path), "--check")
    with pytest.raises(UserError, match="invalid choice"):
        run("heroku", str(packed.path))


def test_the_command_knows_every_platform() -> None:
    parser = argparse.ArgumentParser()
    target.add_arguments(parser)
    (choices,) = [action.choices for action in parser._actions if action.dest == "platform"]
    assert list(choices or ()) == list(targets.PLATFORMS)


@given(st.text(max_size=80))
def test_any_name_becomes_one_that_platforms_allow(name: str) -> None:
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?", label(name)), label(name)


@pytest.mark.parametrize("name", ["No", "on", "null", "1_000", "Ä", "Ein Name"])
def test_a_name_stays_a_name_in_yaml(name: str, packed: Bundle, tmp_path: Path) -> None:
    named = Bundle(packed.path, name, "123456789012", packed.target, packed.packages, packed.files)
    for platform in ("kubernetes", "cloud-run"):
        folder = written(platform, named, tmp_path / platform)
        for path in folder.glob("*.yaml"):
            assert yaml.safe_load(path.read_text())["metadata"]["name"] == label(name)
    assert json.loads(targets.PLATFORMS["lambda"].files(named, "a:1")["function.json"])["FunctionName"] == label(name)
