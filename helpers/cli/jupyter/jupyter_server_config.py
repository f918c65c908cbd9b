"""Read by the JupyterLab that ``lab`` starts."""

from helpers.classroom.saving import without_outputs

get_config().ContentsManager.pre_save_hook = without_outputs  # type: ignore[name-defined]  # noqa: F821
