"""ServeLab's helper package: the course's tools and its serving engine."""

import os

__version__ = "0.1.0"

# ONNX Runtime's wheels report their use to their maker and keep an identifier in the home folder, unless
# this is set before they are imported. What runs here is nobody else's affair, and often offline.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Child processes inherit this, and see by it that no person typed their command: they install nothing.
PROCESS_VARIABLE = "SERVELAB_PROCESS"
os.environ.setdefault(PROCESS_VARIABLE, str(os.getpid()))
