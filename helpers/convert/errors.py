"""What a conversion refuses."""

from helpers.errors import UserError


class ConversionError(UserError):
    """A model that has no ONNX file with the same answers: what differs or is missing, and what to do."""
