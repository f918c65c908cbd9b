"""The course's small models and data, made on this machine from what ships in packages.

Nothing is downloaded. What takes seconds to train is trained once and kept.
"""

from helpers.zoo.digit_classifier import digits_cnn
from helpers.zoo.digit_data import Digits, digits
from helpers.zoo.row_classifiers import digits_keras, digits_lightgbm, digits_pipeline, digits_xgboost, flat_digits
from helpers.zoo.torchvision_models import import_torchvision, resnet18
from helpers.zoo.wide_network import wide_mlp

__all__ = [
    "Digits",
    "digits",
    "digits_cnn",
    "digits_keras",
    "digits_lightgbm",
    "digits_pipeline",
    "digits_xgboost",
    "flat_digits",
    "import_torchvision",
    "resnet18",
    "wide_mlp",
]
