"""Offline batch: a service's answers to the rows of a file, without HTTP; a killed run goes on where it ended.

``source`` (rows in) → ``columns`` (to arrays) → ``scorer`` (the service) → ``columns`` (from arrays)
→ ``parts`` (written beside and renamed) → one file, or a folder of parts. ``job`` is the thread through them.
"""

from helpers.deploy.scoring.job import Job, Scored, score

__all__ = ["Job", "Scored", "score"]
