"""Deep Compression without retraining: prune by magnitude, share the values that are left, code what is shared.

The third stage of the paper, Huffman coding, happens when the network is saved: docs/formats/accel.md.
"""

from __future__ import annotations

import numpy as np

from accel.compress.magnitude import keep_mask
from accel.compress.recipe import Recipe, for_layer
from accel.compress.rounding import round_keeping_sums
from accel.compress.targets import Layer
from accel.weights import Codebook


def mask(layer: Layer, recipe: Recipe) -> np.ndarray:
    """First stage: which weights of the layer stay, bool of its shape."""
    sparsity = for_layer(recipe.sparsity, layer.name)
    if recipe.quality is None:
        return keep_mask(layer.weight, sparsity=sparsity or 0.0)
    return keep_mask(layer.weight, quality=recipe.quality)


def share(layer: Layer, keep: np.ndarray, levels: int, rounding: str = "sums") -> Codebook:
    """Second stage: the layer with `levels` shared values, the pruned weights exactly zero.

    The values are those of exact one-dimensional k-means over the weights that stay. With rounding "nearest" each
    weight takes the nearest one; with "sums" one of the two around it, see `round_keeping_sums`.

    References
    ----------
    .. [1] Han, Mao, Dally: Deep Compression, ICLR 2016, sections 2 and 3.
    """
    pruned = np.where(keep, layer.weight, np.float32(0))
    nearest = Codebook.fit_values(pruned, levels)
    if rounding == "nearest":
        return nearest
    order = np.argsort(nearest.codebook, kind="stable")
    gone = layer.rows(pruned == 0)
    indices = round_keeping_sums(layer.rows(layer.weight), nearest.codebook[order], gone)
    codes = order.astype(np.uint8)[layer.unrows(indices)]
    return Codebook(np.ascontiguousarray(codes), nearest.codebook)
