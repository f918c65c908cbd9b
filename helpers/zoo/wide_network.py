"""A wide network of plain layers: large enough that its weights, and not the calls, cost the time."""

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

WIDTHS = (784, 1024, 1024, 512, 10)


def wide_mlp(seed: int = 0) -> "torch.nn.Module":
    """784 → 1024 → 1024 → 512 → 10 in evaluation mode, with weights drawn from a seed: 2.4 million."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for wide, next_wide in pairwise(WIDTHS):
            layers += [nn.Linear(wide, next_wide), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()
