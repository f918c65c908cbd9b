"""From a service to what can be shipped: a bundle, and an image of it that needs no Docker to be built."""

from helpers.deploy.packing import Bundle, Extras, bundle

__all__ = ["Bundle", "Extras", "bundle"]
