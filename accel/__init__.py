"""accel: compressed neural networks that really run faster on a CPU."""

__version__ = "0.1.0"
