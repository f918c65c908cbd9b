"""Cloud Run: a container that listens on ``PORT``, described as a Knative service.

Its contract: PORT is told and HTTP is answered there; between no instance and ``maxScale`` of
them run; SIGTERM comes 10 seconds before the end; only memory can be written to.
"""

from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from helpers.deploy.packing import Bundle
from helpers.deploy.targets.rules import LIVE, PORT, READY, Strict, expect, expect_tag, label, strictly

SERVICE = Template("""\
# $name $version on Cloud Run. PORT is told to the container by the platform, and is not set here.
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: "$name"
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/minScale: "0"  # nothing runs, and costs, while nobody asks; "1" spares the cold start
        autoscaling.knative.dev/maxScale: "10"
        run.googleapis.com/execution-environment: gen2
        run.googleapis.com/startup-cpu-boost: "true"
    spec:
      containerConcurrency: 80  # requests at once in one instance; they meet in its batches
      timeoutSeconds: 60
      containers:
        - image: "$image"
          ports:
            - name: http1
              containerPort: $port
          resources:
            limits:
              cpu: "1"
              memory: 512Mi
          env:
            - name: WORKERS
              value: "1"
          startupProbe:  # no request comes before it has succeeded
            httpGet: {path: $ready, port: $port}
            periodSeconds: 1
            timeoutSeconds: 1
            failureThreshold: 60
          livenessProbe:  # an instance that does not answer is replaced
            httpGet: {path: $live, port: $port}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
""")

README = Template("""\
# $name on Cloud Run

`service.yaml` was checked when it was written. These commands need an account; they were not run.

```
docker push $image                                        # not run
gcloud run services replace service.yaml --region REGION  # not run; says: Service [$name] revision … is active
gcloud run services describe $name --region REGION        # not run; says: URL: https://$name-….run.app
```

The image must lie in a registry that Cloud Run reads: name it with `--image REGISTRY/$name:$version`.
""")

RESERVED = {"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"}
LONGEST_START = 240  # seconds that a start may take


class HttpGet(Strict):
    path: str
    port: int = PORT


class Probe(Strict):
    http_get: HttpGet
    period_seconds: Annotated[int, Meta(ge=1, le=240)] = 10
    timeout_seconds: Annotated[int, Meta(ge=1, le=240)] = 1
    failure_threshold: Annotated[int, Meta(ge=1)] = 3
    initial_delay_seconds: Annotated[int, Meta(ge=0, le=240)] = 0


class Port(Strict):
    container_port: Annotated[int, Meta(ge=1, le=65535)]
    name: Literal["http1", "h2c"] = "http1"


class Limits(Strict):
    cpu: Annotated[str, Meta(pattern=r"^([1-8]|0\.\d+|[1-9]\d{1,3}m)$")]
    memory: Annotated[str, Meta(pattern=r"^[1-9]\d*(Mi|Gi)$")]


class Resources(Strict):
    limits: Limits


class Variable(Strict):
    name: str
    value: str = ""
    value_from: dict[str, Any] | None = None


class Container(Strict):
    image: str
    ports: Annotated[list[Port], Meta(min_length=1, max_length=1)]
    resources: Resources
    startup_probe: Probe
    liveness_probe: Probe
    env: list[Variable] = field(default_factory=list)
    name: str = ""
    volume_mounts: list[dict[str, Any]] = field(default_factory=list)


class Pod(Strict):
    container_concurrency: Annotated[int, Meta(ge=1, le=1000)]
    timeout_seconds: Annotated[int, Meta(ge=1, le=3600)]
    containers: Annotated[list[Container], Meta(min_length=1, max_length=1)]
    service_account_name: str = ""
    volumes: list[dict[str, Any]] = field(default_factory=list)


class Metadata(Strict):
    name: Annotated[str, Meta(pattern=r"^[a-z]([a-z0-9-]{0,47}[a-z0-9])?$")] = "unnamed"
    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


class Revision(Strict):
    metadata: Metadata
    spec: Pod


class Spec(Strict):
    template: Revision
    traffic: list[dict[str, Any]] = field(default_factory=list)


class Service(Strict):
    api_version: Literal["serving.knative.dev/v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: Spec


def files(bundle: Bundle, image: str) -> dict[str, str]:
    """The artefacts, by name."""
    values = {"name": label(bundle.name), "version": bundle.version, "image": image}
    values |= {"port": str(PORT), "ready": READY, "live": LIVE}
    return {"service.yaml": SERVICE.substitute(values), "README.md": README.substitute(values)}


def check(folder: Path, bundle: Bundle) -> list[str]:
    """The document as a whole, then what its parts promise each other."""
    service = strictly(folder / "service.yaml", Service)
    revision = service.spec.template
    (container,) = revision.spec.containers
    port = container.ports[0].container_port
    expect_tag(container.image, "service.yaml")
    for name, probe, path in (
        ("startupProbe", container.startup_probe, READY),
        ("livenessProbe", container.liveness_probe, LIVE),
    ):
        asked = probe.http_get
        expect(
            asked.port == port,
            f"service.yaml: {name} asks port {asked.port}, and the container listens on {port}.",
            f"write port: {port}.",
        )
        expect(asked.path == path, f"service.yaml: {name} asks {asked.path}.", f"the service says how it is at {path}.")
        expect(
            probe.timeout_seconds <= probe.period_seconds,
            f"service.yaml: {name} waits {probe.timeout_seconds} s, longer than its period.",
            "make timeoutSeconds at most periodSeconds.",
        )
    start = container.startup_probe
    longest = start.initial_delay_seconds + start.period_seconds * start.failure_threshold
    expect(
        longest <= LONGEST_START,
        f"service.yaml: a start may take {longest} s, and Cloud Run gives it {LONGEST_START}.",
        "lower the startupProbe's failureThreshold or periodSeconds.",
    )
    for variable in container.env:
        expect(
            variable.name not in RESERVED,
            f"service.yaml: {variable.name} is the platform's to set.",
            "take it out of env; the port is containerPort.",
        )
    least, most = (_scale(revision.metadata.annotations, which) for which in ("minScale", "maxScale"))
    expect(least <= most, f"service.yaml: minScale {least} is more than maxScale {most}.", "raise maxScale.")
    return []


def _scale(annotations: dict[str, str], which: str) -> int:
    found = annotations.get(f"autoscaling.knative.dev/{which}", "")
    expect(
        found.isdigit(),
        f"service.yaml: the template's annotations do not say {which} as a number.",
        f'write autoscaling.knative.dev/{which}: "{0 if which == "minScale" else 10}".',
    )
    return int(found)
