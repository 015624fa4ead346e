"""Layers: weights bound to their geometry."""

from accel.layers.conv2d import Conv2d
from accel.layers.linear import Linear

__all__ = ["Conv2d", "Linear"]
