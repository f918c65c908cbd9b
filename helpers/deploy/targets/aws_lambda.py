"""AWS Lambda: an image whose process asks the Runtime API for events; Mangum makes requests of them.

Its contract: the handler is imported within 10 seconds, one event comes at a time, the process is
frozen between two events, and only /tmp can be written to.
"""

from pathlib import Path
from string import Template
from typing import Annotated, Literal

from msgspec import Meta, field

from helpers.deploy import system
from helpers.deploy.packing import Bundle
from helpers.deploy.targets.rules import Strict, expect, expect_pinned, expect_tag, label, python_of, strictly, text_of
from helpers.places import ROOT

PACKAGES = ("awslambdaric", "mangum")
HANDLER = "handler.handler"

CODE = '''\
"""What Lambda calls: events become requests to the service of the bundle, which stands beside this file."""

import asyncio

from mangum import Mangum

import run

# One loop for the life of the process, since the service's queues live on it. It runs while there is
# an event to answer, and rests when Lambda freezes the process.
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
application = run.application()
loop.run_until_complete(application.open())  # models are loaded in the init phase, before the first event
handler = Mangum(application, lifespan="off")
'''

DOCKERFILE = Template("""\
# $name $version for AWS Lambda: docker build -t $image . in this folder.
FROM python:$python-slim AS packages
WORKDIR /build
COPY bundle/requirements.txt service.txt
COPY requirements.txt lambda.txt
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf \\
    python -m pip install --no-cache-dir --no-compile --target $packages \\
    --requirement service.txt --requirement lambda.txt
COPY bundle /app
COPY handler.py /app/handler.py
# Compiled once here, and not at each cold start; nothing in an image changes, so that no date is looked at.
RUN python -m compileall -q --invalidation-mode unchecked-hash $packages /app

FROM python:$python-slim
ENV PYTHONPATH=$packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
COPY --from=packages $packages $packages
COPY --from=packages /app /app
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["$handler"]
""")

FUNCTION = Template("""\
{
  "FunctionName": "$name",
  "PackageType": "Image",
  "Code": {"ImageUri": "$image"},
  "Role": "arn:aws:iam::ACCOUNT:role/ROLE",
  "Architectures": ["x86_64"],
  "MemorySize": 1024,
  "Timeout": 30,
  "Environment": {"Variables": {"OMP_NUM_THREADS": "1"}}
}
""")

README = Template("""\
# $name on AWS Lambda

The artefacts were checked when they were written. These commands need an account; they were not run.
ACCOUNT, REGION and ROLE in `function.json` are yours to fill in, and the image must lie in your registry there:
name it with `--image ACCOUNT.dkr.ecr.REGION.amazonaws.com/$name:$version`.

```
docker build -t $image . && docker push $image                          # the push was not run
aws lambda create-function --cli-input-json file://function.json        # not run; says: "State": "Pending"
aws lambda create-function-url-config --function-name $name --auth-type AWS_IAM   # not run; says: "FunctionUrl": …
```

A request or an answer has at most 6 MB, one event is answered at a time, and nothing goes on after the answer:
long-running tasks and batches of several callers are for a platform with a server.
MemorySize decides the CPU too: 1,769 MB are one core. Of an image built on ARM the Architectures are `arm64`.
""")


class Code(Strict, rename="pascal"):
    image_uri: str


class Variables(Strict, rename="pascal"):
    variables: dict[str, str] = field(default_factory=dict)


class Storage(Strict, rename="pascal"):
    size: Annotated[int, Meta(ge=512, le=10240)]


class Function(Strict, rename="pascal"):
    function_name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    package_type: Literal["Image"]
    code: Code
    role: Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:iam::(\d{12}|ACCOUNT):role/.+$")]
    architectures: Annotated[list[Literal["x86_64", "arm64"]], Meta(min_length=1, max_length=1)]
    memory_size: Annotated[int, Meta(ge=128, le=10240)]
    timeout: Annotated[int, Meta(ge=1, le=900)]
    environment: Variables = field(default_factory=Variables)
    ephemeral_storage: Storage | None = None
    description: str = ""


def files(bundle: Bundle, image: str) -> dict[str, str]:
    """The artefacts, by name; the bundle stands beside them."""
    values = {"name": label(bundle.name), "version": bundle.version, "image": image, "handler": HANDLER}
    values |= {"python": python_of(bundle), "packages": system.PACKAGES}
    return {
        "handler.py": CODE,
        "Dockerfile": DOCKERFILE.substitute(values),
        "function.json": FUNCTION.substitute(values),
        "requirements.txt": pins(PACKAGES),
        "README.md": README.substitute(values),
    }


def check(folder: Path, bundle: Bundle) -> list[str]:
    """The function's settings, the handler, the image's recipe, and the bundle itself."""
    function = strictly(folder / "function.json", Function)
    expect_tag(function.code.image_uri, "function.json")
    module, _, name = HANDLER.partition(".")
    code = text_of(folder / f"{module}.py")
    expect(
        f"{name} = Mangum(" in code and 'lifespan="off"' in code,
        f"{module}.py makes no {name} of the service, or opens it anew for each event.",
        'keep: handler = Mangum(application, lifespan="off").',
    )
    recipe = text_of(folder / "Dockerfile")
    for line in ('ENTRYPOINT ["python", "-m", "awslambdaric"]', f'CMD ["{HANDLER}"]'):
        expect(line in recipe.splitlines(), f"Dockerfile has no line {line}.", "Lambda starts the image with it.")
    expect_pinned(folder / "requirements.txt")
    check_bundle(folder, bundle)
    return []


def check_bundle(folder: Path, bundle: Bundle) -> None:
    """The bundle that lies there is the one that is meant, and whole."""
    there = Bundle.read(folder / "bundle")
    expect(there.version == bundle.version, f"{folder.name}/bundle is another version.", "write the target again.")
    changed = there.changed()
    expect(not changed, f"{folder.name}/bundle was changed: {', '.join(changed[:3])}.", "write the target again.")


def pins(names: tuple[str, ...]) -> str:
    """These packages at the versions that the course pins, and has tried."""
    lines = text_of(ROOT / "constraints.txt").splitlines()
    return "".join(f"{line.partition(';')[0].strip()}\n" for line in lines if line.partition("==")[0] in names)
