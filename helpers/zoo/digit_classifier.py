"""The course's digit classifier: a small convolutional network, trained here in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.zoo.digit_data import digits
from helpers.zoo.kept import kept

if TYPE_CHECKING:
    import torch

SEED = 0
EPOCHS = 12


def digits_cnn() -> "torch.nn.Module":
    """The trained classifier in evaluation mode: (n, 1, 8, 8) images in, (n, 10) scores out."""
    import torch

    recipe = {"torch": torch.__version__, "seed": SEED, "epochs": EPOCHS, "threads": 1}
    weights = kept("digits-cnn", recipe, train, "the digit classifier")
    model = untrained()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval()


def untrained() -> "torch.nn.Module":
    """The network before training."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )


def train() -> dict[str, NDArray[Any]]:
    """Train from the seed; the caller's own random numbers are left as they were."""
    import torch

    data = digits()
    images, labels = torch.tensor(data.train_images), torch.tensor(data.train_labels)
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(SEED)
        model = untrained().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, epochs=EPOCHS, steps_per_epoch=22)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(images)).split(64):
                loss = torch.nn.functional.cross_entropy(model(shifted(images[chosen])), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread inside the block.

    Several add in another order than one does, and training makes much of the difference:
    with one, machines of a kind get the same model, however many cores they have.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def shifted(images: "torch.Tensor") -> "torch.Tensor":
    """The images moved by up to a pixel each way: people do not draw in the middle."""
    import torch

    across, down = torch.randint(-1, 2, (2,)).tolist()
    moved = torch.nn.functional.pad(images, (1, 1, 1, 1))
    return moved[:, :, 1 + down : 9 + down, 1 + across : 9 + across]


def accuracy(model: "torch.nn.Module") -> float:
    """The share of the test digits that the model names correctly."""
    import torch

    data = digits()
    with torch.no_grad():
        named = model(torch.tensor(data.test_images)).argmax(1).numpy()
    return float(np.mean(named == data.test_labels))
