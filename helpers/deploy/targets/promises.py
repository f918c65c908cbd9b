"""What Kubernetes' documents must be each by itself, and what they promise each other."""

from typing import Any

from helpers.deploy.targets.rules import LIVE, READY, at, expect
from helpers.errors import UserError
from helpers.installed import how_to_install


def against_schemas(found: dict[str, dict[str, Any]]) -> list[str]:
    try:
        import kubernetes_validate
    except ImportError:
        return [f"not checked against Kubernetes' schemas: {how_to_install('deploy')}"]
    for name, each in found.items():
        try:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            place = ".".join(str(part) for part in error.path) or "the document"
            raise UserError(f"{name}, {place}: {error.message[:300]}.", "correct it.") from None
        except (kubernetes_validate.SchemaNotFoundError, KeyError) as error:
            told = getattr(error, "message", f"it has no {error}")
            raise UserError(f"{name}: {told}.", "correct its apiVersion and kind.") from None
    return []


def check_ports(container: dict[str, Any], service: dict[str, Any]) -> None:
    where = "deployment.yaml"
    number = at(container, "ports.0.containerPort", where)
    name = at(container, "ports.0", where).get("name")
    told = {each["name"]: each.get("value") for each in container.get("env", [])}
    expect(
        told.get("PORT") == str(number),
        f"{where}: PORT is {told.get('PORT')}, and containerPort {number}.",
        "the service listens on PORT: make them one number.",
    )
    for probe, path in (("startupProbe", READY), ("readinessProbe", READY), ("livenessProbe", LIVE)):
        asked = at(container, f"{probe}.httpGet", where)
        expect(
            asked["port"] in (name, number), f"{where}: {probe} asks port {asked['port']}.", f"ask {name} ({number})."
        )
        expect(asked.get("path") == path, f"{where}: {probe} asks {asked.get('path')}.", f"ask {path}.")
    sent_to = at(service, "spec.ports.0.targetPort", "service.yaml")
    expect(
        sent_to in (name, number),
        f"service.yaml: targetPort is {sent_to}, and nothing listens there.",
        f"write targetPort: {name}.",
    )


def check_resources(container: dict[str, Any]) -> None:
    for each in ("requests.cpu", "requests.memory", "limits.memory"):
        at(container, f"resources.{each}", "deployment.yaml")


def check_rights(pod: dict[str, Any], container: dict[str, Any]) -> None:
    where = "deployment.yaml"
    rights = pod.get("securityContext", {}) | container.get("securityContext", {})
    wanted = {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}
    for name, value in wanted.items():
        expect(rights.get(name) is value, f"{where}: {name} is not {value}.", f"write {name}: {str(value).lower()}.")
    dropped = (rights.get("capabilities") or {}).get("drop", [])
    expect("ALL" in dropped, f"{where}: the container keeps capabilities.", "write capabilities: {drop: [ALL]}.")
    mounted = {each["name"] for each in container.get("volumeMounts", []) if each["mountPath"] == "/tmp"}
    empty = {each["name"] for each in pod.get("volumes", []) if "emptyDir" in each}
    expect(mounted & empty, f"{where}: /tmp cannot be written to.", "mount an emptyDir there.")


def check_numbers(deployment: dict[str, Any], autoscaler: dict[str, Any], budget: dict[str, Any]) -> None:
    scaled = at(autoscaler, "spec.scaleTargetRef.name", "autoscaler.yaml")
    name = at(deployment, "metadata.name", "deployment.yaml")
    expect(scaled == name, f"autoscaler.yaml scales {scaled}, which is not {name}.", f"write name: {name}.")
    least = autoscaler["spec"].get("minReplicas", 1)
    most = at(autoscaler, "spec.maxReplicas", "autoscaler.yaml")
    expect(least <= most, f"autoscaler.yaml: minReplicas {least} is more than maxReplicas {most}.", "raise the latter.")
    kept, gone = budget["spec"].get("minAvailable"), budget["spec"].get("maxUnavailable")
    stuck = gone == 0 or kept == "100%" or (isinstance(kept, int) and kept >= least)
    expect(
        not stuck,
        "disruption-budget.yaml: with so few pods none may ever go, and no node can be emptied.",
        "write maxUnavailable: 1.",
    )
