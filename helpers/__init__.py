"""ServeLab's helper package: the course's tools and its serving engine."""

__version__ = "0.1.0"
