"""Compression: methods of the survey as recipes. `accel.compress(network, recipe)` is `accel.compress.compress`."""

from __future__ import annotations

import sys
import types
from typing import Any

from accel.compress.api import compress
from accel.compress.progress import Event
from accel.compress.recipe import RECIPES, Recipe
from accel.graph.network import Network

__all__ = ["RECIPES", "Event", "Recipe", "compress"]


class _CallableModule(types.ModuleType):
    """Importing this package makes it the attribute `accel.compress`; called, it does what that name promises."""

    def __call__(self, *args: Any, **options: Any) -> Network:
        return compress(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
