"""Kubernetes: what runs, who finds it, how many there are, and how many there are at least.

A file each, for ``kubectl apply -f FOLDER``: Deployment, Service, HorizontalPodAutoscaler,
PodDisruptionBudget.
"""

from pathlib import Path
from string import Template

from helpers.deploy.packing import Bundle
from helpers.deploy.targets import promises
from helpers.deploy.targets.rules import LIVE, PORT, READY, at, document, expect, expect_tag, label

DEPLOYMENT = Template("""\
# $name $version. How many there are is the autoscaler's affair: replicas is left out, for each apply would set it back.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: "$name"
  labels: {app.kubernetes.io/name: "$name", app.kubernetes.io/version: "$version"}
spec:
  selector:
    matchLabels: {app.kubernetes.io/name: "$name"}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}  # a new one is ready before an old one goes
  template:
    metadata:
      labels: {app.kubernetes.io/name: "$name", app.kubernetes.io/version: "$version"}
    spec:
      automountServiceAccountToken: false  # it asks the cluster nothing
      enableServiceLinks: false  # no variables about the neighbours
      terminationGracePeriodSeconds: 20  # preStop's 5, and the service's own 10
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        seccompProfile: {type: RuntimeDefault}
      topologySpreadConstraints:  # one node that fails takes down one of them, not all
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {app.kubernetes.io/name: "$name"}
      containers:
        - name: service
          image: "$image"
          imagePullPolicy: IfNotPresent
          ports:
            - {name: http, containerPort: $port}
          env:
            - {name: PORT, value: "$port"}
            - {name: WORKERS, value: "1"}  # more pods, not more processes in one
          resources:
            requests: {cpu: 500m, memory: 256Mi}
            limits: {memory: 512Mi}  # and none for the CPU: to be slowed down is worse than to share
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}  # for long-running tasks and several workers; the rest is read-only
          startupProbe:
            httpGet: {path: $ready, port: http}
            periodSeconds: 1
            failureThreshold: 60
          readinessProbe:  # one that is not ready is not asked
            httpGet: {path: $ready, port: http}
            periodSeconds: 5
          livenessProbe:  # one that does not answer is started again
            httpGet: {path: $live, port: http}
            periodSeconds: 10
            failureThreshold: 3
          lifecycle:
            preStop:  # by the time it stops listening nobody is sent to it any more
              sleep: {seconds: 5}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
""")

SERVICE = Template("""\
apiVersion: v1
kind: Service
metadata:
  name: "$name"
spec:
  selector: {app.kubernetes.io/name: "$name"}
  ports:
    - {name: http, port: 80, targetPort: http}
""")

AUTOSCALER = Template("""\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: "$name"
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: "$name"}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: 70}  # of what is requested
  behavior:
    scaleDown: {stabilizationWindowSeconds: 300}  # up at once, down slowly
""")

BUDGET = Template("""\
# While nodes are emptied, for an upgrade say, one of them goes at a time.
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: "$name"
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {app.kubernetes.io/name: "$name"}
""")

README = Template("""\
# $name on Kubernetes

The four documents were checked when they were written. These commands need a cluster; they were not run.

```
docker push $image                    # not run
kubectl apply --dry-run=server -f .   # not run; says: deployment.apps/$name created (server dry run), …
kubectl apply -f .                    # not run
kubectl rollout status deployment/$name
```

On one machine with podman: `podman play kube deployment.yaml` (it leaves the other three aside).
The image must lie where the nodes find it: name it with `--image REGISTRY/$name:$version`.
""")

KINDS = {
    "deployment.yaml": "Deployment",
    "service.yaml": "Service",
    "autoscaler.yaml": "HorizontalPodAutoscaler",
    "disruption-budget.yaml": "PodDisruptionBudget",
}


def files(bundle: Bundle, image: str) -> dict[str, str]:
    """The artefacts, by name."""
    values = {"name": label(bundle.name), "version": bundle.version, "image": image}
    values |= {"port": str(PORT), "ready": READY, "live": LIVE}
    texts = dict(zip(KINDS, (DEPLOYMENT, SERVICE, AUTOSCALER, BUDGET), strict=True)) | {"README.md": README}
    return {name: text.substitute(values) for name, text in texts.items()}


def check(folder: Path, bundle: Bundle) -> list[str]:
    """Each document by Kubernetes' own schema, then what they promise each other."""
    found = {name: document(folder / name) for name in KINDS}
    for name, kind in KINDS.items():
        expect(found[name].get("kind") == kind, f"{name} is no {kind}.", "write the target again.")
    notes = promises.against_schemas(found)
    deployment, service, autoscaler, budget = found.values()
    where = "deployment.yaml"
    labels = at(deployment, "spec.template.metadata.labels", where)
    for name, selector in (
        (where, at(deployment, "spec.selector.matchLabels", where)),
        ("service.yaml", at(service, "spec.selector", "service.yaml")),
        ("disruption-budget.yaml", at(budget, "spec.selector.matchLabels", "disruption-budget.yaml")),
    ):
        expect(selector and selector.items() <= labels.items(), f"{name} selects other pods.", f"select {labels}.")
    pod = at(deployment, "spec.template.spec", where)
    container = at(pod, "containers.0", where)
    expect_tag(at(container, "image", where), where)
    promises.check_ports(container, service)
    promises.check_resources(container)
    promises.check_rights(pod, container)
    promises.check_numbers(deployment, autoscaler, budget)
    return notes
