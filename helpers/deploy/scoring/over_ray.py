"""Ray Data hands out the parts to worker processes, each with the service opened once: for more than one machine.

What a worker does for a part is what the other engines do, so the answers are the same. Its files must
lie where all machines see them.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from helpers.deploy.scoring.job import Job, Plan, scored_part
from helpers.deploy.scoring.parts import Parts
from helpers.deploy.scoring.scorer import Scorer
from helpers.errors import UserError


class PartWorker:
    """One process of Ray's."""

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job, self.plan = job, plan
        self.scorer = Scorer(job.target, job.folder, job.api)
        self.parts = Parts(job.into)

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Score one part, and tell how many rows it had."""
        number = int(asked["item"])
        start = number * self.plan.part_rows
        table = next(self.plan.source.slices(start, self.plan.part_rows))
        self.parts.write(number, scored_part(self.job, self.plan, self.scorer, table, start))
        return {"rows": len(table)}


def score_parts(job: Job, plan: Plan, numbers: Sequence[int]) -> Iterator[int]:
    """Score these parts, in any order; the rows of each, as they are done."""
    if not numbers:
        return
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # else it tells each plan that it makes
    started_here = not ray.is_initialized()
    if started_here:
        _start_cluster()
    try:
        workers = max(1, min(len(numbers), int(ray.cluster_resources().get("CPU", 1))))
        ray.data.DataContext.get_current().enable_progress_bars = False
        done = ray.data.from_items([int(number) for number in numbers], override_num_blocks=len(numbers)).map(
            PartWorker, fn_constructor_args=(job, plan), compute=ray.data.ActorPoolStrategy(size=workers)
        )
        for row in done.iter_rows():
            yield int(row["rows"])
    finally:
        if started_here:
            ray.shutdown()


def _start_cluster() -> None:
    """One of this machine, for this run; a busy or small machine may be too slow for it."""
    import ray

    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # it has many of its own, without a common class
        ray.shutdown()
        raise UserError(
            f"Ray did not start: {str(error).strip().splitlines()[0][:200]}",
            "try again when the machine is less busy, or choose another engine: --with pyarrow.",
        ) from error
