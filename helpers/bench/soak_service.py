"""The service that ``bench soak`` asks: quick, batched, for rows of any width."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from helpers.engine import Batching, api, service
from helpers.wire.values import tensor

# What Tensor["float32", …] makes, in words that a type checker reads too.
Rows = Annotated[NDArray[np.float32], tensor("", np.dtype(np.float32), ("batch", "width"))]
Mean = Annotated[NDArray[np.float32], tensor("", np.dtype(np.float32), ("batch",))]


@service
class Means:
    @api(batching=Batching())
    def mean(self, rows: Rows) -> Mean:
        means: NDArray[np.float32] = rows.mean(1)
        return means
