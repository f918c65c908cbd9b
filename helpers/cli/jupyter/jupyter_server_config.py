"""Read by the JupyterLab that ``lab`` starts."""

import warnings

from helpers.classroom.saving import without_outputs

# Jupyter reads its settings twice, and would warn that the second replaces the first.
warnings.filterwarnings("ignore", message="Overriding existing pre_save_hook")
get_config().ContentsManager.pre_save_hook = without_outputs  # type: ignore[name-defined]  # noqa: F821
