"""The texts of a bundle: its Dockerfile and its README."""

import sys

from helpers.deploy.needs import Needs
from helpers.deploy.system import PACKAGES

DOCKERFILE = """\
# {name}: built by `docker build -t {name} .`, `podman build …` or `buildah bud …` in this folder.
# --build-arg BASE=… takes another base image; it needs python3 {python} and pip.
# --build-arg CUDA=1 puts ONNX Runtime's CUDA build in the place of the CPU one, with NVIDIA's libraries; the driver
# comes from the machine.
ARG PYTHON={python}
ARG BASE=python:${{PYTHON}}-slim

FROM ${{BASE}} AS packages
ARG CUDA=0
WORKDIR /build
COPY requirements.txt .
# Packages first: they change less often than code, so that this layer is found again.
# A pip configuration (an index of one's own, and its certificates) comes as secrets, and does not stay in the image.
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf --mount=type=secret,id=pipcert \\
    if [ "$CUDA" = 1 ]; then sed -i 's/^onnxruntime==/onnxruntime-gpu[cuda,cudnn]==/' requirements.txt; fi \\
    && python3 -m pip install --no-cache-dir --no-compile --target {packages} --requirement requirements.txt
COPY . /app
# Compiled once here, and not at each start by a user who may write nothing. Nothing in an image changes, so that
# no date is looked at. And whoever it is that runs it may read all of it.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash {packages} /app && chmod -R a+rX {packages} /app

FROM ${{BASE}}
ENV PYTHONPATH={packages} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\
    HOST=0.0.0.0 PORT=3000 WORKERS=1 ORT_DISABLE_TELEMETRY=1 \\
    LD_LIBRARY_PATH={packages}/nvidia/cu13/lib:{packages}/nvidia/cudnn/lib
COPY --from=packages {packages} {packages}
COPY --from=packages /app /app
WORKDIR /app
# What cannot be imported here fails now and not later, and the standard library keeps its bytecode too.
RUN PYTHONDONTWRITEBYTECODE="" PYTHONPATH={packages}:/app/kit \\
    python3 -c "import helpers.serving.command, onnxruntime, uvloop"
# Nobody in particular: what is broken into can change nothing.
USER 10001:10001
EXPOSE 3000
# Python answers SIGTERM itself here: run.py stops taking requests, answers the accepted ones, and ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s CMD ["python3", "/app/run.py", "--check"]
ENTRYPOINT ["python3", "/app/run.py"]
"""

README = """\
# {name}

The service `{target}`, with all that it needs. Packed by ServeLab; `bundle.json` holds the digest of each file,
and the service does not start if one of them was changed.

```
python -m pip install --requirement requirements.txt
python run.py                                   # on 127.0.0.1:3000
PORT=8080 HOST=0.0.0.0 WORKERS=2 python run.py  # what a platform tells it
```

or as an image: `docker build -t {lower} . && docker run --rm -p 3000:3000 {lower}`.

What can be asked is in `openapi.json`, and at `/docs` once it runs. `/livez`, `/readyz` and `/metrics` are for
whoever runs it.

| model | version |
| --- | --- |
{models}
"""


def dockerfile(name: str) -> str:
    """Two stages: packages are installed in the first, and only they come along."""

    return DOCKERFILE.format(
        name=name.lower(), packages=PACKAGES, python=f"{sys.version_info.major}.{sys.version_info.minor}"
    )


def readme(found: Needs, target: str) -> str:
    """How to run it."""
    models = "\n".join(f"| {tag} | {version} |" for tag, version in found.models.items()) or "| none | |"
    return README.format(name=found.name, lower=found.name.lower(), target=target, models=models)
