"""Text in capitals: the one thing in a file for which ONNX Runtime asks the system."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.convert.errors import ConversionError
from helpers.errors import UserError
from helpers.runtime import Session

if TYPE_CHECKING:
    import onnx

LOCALES = ("C.UTF-8", "en_US.UTF-8")


def choose_locale(path: Path) -> str | None:
    """Set the locale with which the file changes the case of text; None if it does not.

    ONNX Runtime asks the system that it runs on for it. C.UTF-8 is there on every Linux with glibc, in
    a slim image too; elsewhere the default of ONNX, en_US, is what there is.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    nodes = [node for node in model.graph.node if _changes_case(node)]
    if not nodes:
        return None
    for locale in LOCALES if sys.platform == "linux" else LOCALES[::-1]:
        for node in nodes:
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("locale", locale)])
        onnx.save(model, path)
        try:
            Session(path)
        except UserError:
            continue
        return locale
    raise ConversionError(
        f"The file changes the case of text, for which ONNX Runtime needs a locale: {' or '.join(LOCALES)}.",
        "install one (on Debian: apt-get install locales, then locale-gen en_US.UTF-8), or pass lowercase=False.",
    )


def _changes_case(node: "onnx.NodeProto") -> bool:
    return node.op_type == "StringNormalizer" and any(
        attribute.name == "case_change_action" and attribute.s in (b"LOWER", b"UPPER") for attribute in node.attribute
    )
