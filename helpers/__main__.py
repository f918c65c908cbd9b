"""The kit's one command: ``python3 -m helpers <command>``.

This file must be readable by any Python 3, however old, so that an old one is
told what to do instead of dying of a syntax error. All else is in helpers.cli.
"""

import shutil
import subprocess
import sys

OLDEST = (3, 11)
NEWEST = (3, 13)


def refuse_unsuitable_python(version):  # type: ignore[no-untyped-def]
    """Return None if this Python can run the course, else a sentence and its remedy."""
    if OLDEST <= tuple(version) <= NEWEST:
        return None
    wanted = ["python%d.%d" % (OLDEST[0], minor) for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    # Some that are on the path only tell which others could be installed: try before recommending.
    found = [name for name in wanted if shutil.which(name) and runs(name)]  # type: ignore[no-untyped-call]
    if found:
        remedy = "run it with the %s that this machine has: %s -m helpers %s" % (
            found[0],
            found[0],
            " ".join(sys.argv[1:]),
        )
    else:
        remedy = "install Python 3.13 (python.org, your package manager, or conda) and run it with that."
    return "servelab: Python %d.%d cannot run the course, which needs %d.%d to %d.%d.\n  Remedy: %s" % (
        tuple(version) + OLDEST + NEWEST + (remedy.strip(),)
    )


def runs(python):  # type: ignore[no-untyped-def]
    """True if this interpreter really starts."""
    silent = subprocess.DEVNULL
    return subprocess.call([python, "-c", ""], stdout=silent, stderr=silent) == 0


if __name__ == "__main__":
    refusal = refuse_unsuitable_python(sys.version_info[:2])  # type: ignore[no-untyped-call]
    if refusal:
        sys.stderr.write(refusal + "\n")
        sys.exit(1)

    from helpers.cli import main

    sys.exit(main(sys.argv[1:]))
