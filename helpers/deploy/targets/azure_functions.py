"""Azure Functions: a folder with ``function_app.py``, which hands each request to the service by ASGI."""

from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from helpers.deploy.packing import Bundle
from helpers.deploy.targets.aws_lambda import check_bundle, pins
from helpers.deploy.targets.rules import Strict, expect, expect_pinned, label, python_of, strictly, text_of

PACKAGES = ("azure-functions",)

CODE = '''\
"""What Azure Functions calls: every path goes to the service of the bundle, which lies in ``bundle``."""

import sys
from pathlib import Path

import azure.functions as func

sys.path.insert(0, str(Path(__file__).resolve().parent / "bundle"))
import run

# The service is opened at the first request, on the loop of the host. Who may ask has the function's key.
app = func.AsgiFunctionApp(app=run.application(), http_auth_level=func.AuthLevel.FUNCTION)
'''

HOST = """\
{
  "version": "2.0",
  "functionTimeout": "00:01:00",
  "extensions": {
    "http": {"routePrefix": "", "maxConcurrentRequests": 100, "maxOutstandingRequests": 200}
  },
  "extensionBundle": {
    "id": "Microsoft.Azure.Functions.ExtensionBundle",
    "version": "[4.*, 5.0.0)"
  },
  "logging": {"logLevel": {"default": "Warning"}}
}
"""

IGNORED = """\
__pycache__
.venv
local.settings.json
"""

README = Template("""\
# $name on Azure Functions

The artefacts were checked when they were written. These commands need an account; they were not run.

```
func start                                             # not run; Azure's own host, on this machine
az functionapp create --name $name --runtime python --runtime-version $python --functions-version 4 \\
    --os-type Linux --resource-group GROUP --storage-account STORAGE --flexconsumption-location REGION  # not run
func azure functionapp publish $name --build remote    # not run; says: Remote build succeeded
curl -H "x-functions-key: KEY" https://$name.azurewebsites.net/readyz   # not run; says: {"ready":true}
```

Packages are installed there from `requirements.txt`: the service's own, and azure-functions.
Answers come whole, never as a stream.
""")


class Http(Strict):
    route_prefix: str
    max_concurrent_requests: Annotated[int, Meta(ge=-1)] = 100
    max_outstanding_requests: Annotated[int, Meta(ge=-1)] = 200
    dynamic_throttles_enabled: bool = False
    hsts: dict[str, Any] = field(default_factory=dict)
    custom_headers: dict[str, str] = field(default_factory=dict)


class Extensions(Strict):
    http: Http


class ExtensionBundle(Strict):
    id: Literal["Microsoft.Azure.Functions.ExtensionBundle"]
    version: Annotated[str, Meta(pattern=r"^[\[(]4\.[\d.*]+, ?5\.0\.0\)$")]


class Host(Strict):
    version: Literal["2.0"]
    function_timeout: Annotated[str, Meta(pattern=r"^\d\d:[0-5]\d:[0-5]\d$")]
    extensions: Extensions
    extension_bundle: ExtensionBundle
    logging: dict[str, Any] = field(default_factory=dict)
    health_monitor: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, Any] = field(default_factory=dict)


def files(bundle: Bundle, image: str) -> dict[str, str]:
    """The artefacts, by name; the bundle stands beside them, and no image is needed."""
    lock = "".join(f"{name}=={version}\n" for name, version in bundle.packages.items())
    return {
        "function_app.py": CODE,
        "host.json": HOST,
        "requirements.txt": lock + pins(PACKAGES),
        ".funcignore": IGNORED,
        "README.md": README.substitute(name=label(bundle.name), python=python_of(bundle)),
    }


def check(folder: Path, bundle: Bundle) -> list[str]:
    """The host's settings, the function, the packages, and the bundle itself."""
    host = strictly(folder / "host.json", Host)
    prefix = host.extensions.http.route_prefix
    expect(
        not prefix,
        f"host.json: with the routePrefix {prefix} the service is asked for /{prefix}/…, which it does not know.",
        'write "routePrefix": "".',
    )
    expect(
        host.function_timeout != "00:00:00" and host.function_timeout <= "00:10:00",
        f"host.json: a functionTimeout of {host.function_timeout} is not allowed.",
        "write 10 minutes or less.",
    )
    code = text_of(folder / "function_app.py")
    expect(
        "\napp = func.AsgiFunctionApp(" in code,
        "function_app.py has no app that is an AsgiFunctionApp, by which the host finds the service.",
        "write app = func.AsgiFunctionApp(…).",
    )
    expect(
        "AuthLevel.ANONYMOUS" not in code,
        "function_app.py lets anybody ask.",
        "keep AuthLevel.FUNCTION, or put a gateway with keys of its own before it.",
    )
    expect_pinned(folder / "requirements.txt")
    lock = set(text_of(folder / "requirements.txt").split())
    wanted = [f"{name}=={version}" for name, version in bundle.packages.items()] + pins(PACKAGES).split()
    missing = [line for line in wanted if line not in lock]
    expect(not missing, f"requirements.txt lacks {', '.join(missing[:3])}.", "write the target again.")
    expect(
        any(line.startswith("azure-functions==") for line in lock), "requirements.txt lacks azure-functions.", "add it."
    )
    check_bundle(folder, bundle)
    return []
