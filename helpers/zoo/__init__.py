"""The course's small models and data, made on this machine from what ships in packages.

Nothing is downloaded. What takes seconds to train is trained once and kept.
"""

from helpers.zoo.digit_classifier import digits_cnn
from helpers.zoo.digit_data import Digits, digits
from helpers.zoo.torchvision_models import import_torchvision, resnet18

__all__ = ["Digits", "digits", "digits_cnn", "import_torchvision", "resnet18"]
