"""The texts of a bundle: its Dockerfile and its README."""

import sys

from helpers.deploy.needs import Needs
from helpers.deploy.system import PACKAGES

DOCKERFILE = """\
# {name}: built by `docker build -t {name} .`, `podman build …` or `buildah bud …` in this folder.
# With a GPU: --build-arg CUDA=1 puts ONNX Runtime's CUDA build in the place of the CPU one.
ARG PYTHON={python}

FROM python:${{PYTHON}}-slim AS packages
ARG CUDA=0
WORKDIR /build
COPY requirements.txt .
# Packages first: they change less often than code, so that this layer is found again.
# A pip configuration (an index of one's own) comes as a secret, and does not stay in the image.
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf \\
    if [ "$CUDA" = 1 ]; then sed -i 's/^onnxruntime==/onnxruntime-gpu==/' requirements.txt; fi \\
    && python -m pip install --no-cache-dir --no-compile --target {packages} --requirement requirements.txt

FROM python:${{PYTHON}}-slim
ENV PYTHONPATH={packages} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\
    HOST=0.0.0.0 PORT=3000 WORKERS=1 ORT_DISABLE_TELEMETRY=1
COPY --from=packages {packages} {packages}
COPY . /app
WORKDIR /app
# Nobody in particular: what is broken into can change nothing.
USER 10001:10001
EXPOSE 3000
# Python answers SIGTERM itself here: run.py stops taking requests, answers the accepted ones, and ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=20s CMD ["python", "/app/run.py", "--check"]
ENTRYPOINT ["python", "/app/run.py"]
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
