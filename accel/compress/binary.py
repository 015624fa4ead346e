"""Binary weights (BWN): the signs of a layer and a scale for each output."""

from __future__ import annotations

from accel.compress.targets import Layer
from accel.weights import Binary, Dense, Weight


def binarized(layer: Layer) -> tuple[Weight, str]:
    """The layer as sign(w) * mean |w| of each output, the nearest in the sense of least squares.

    Weights stored as (in, out) stay arrays, rounded to that: a `Binary` weight has its outputs first.

    References
    ----------
    .. [1] Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016, section 3.1: Binary-Weight-Networks.
    """
    if not layer.outputs_last:
        return Binary.from_dense(layer.weight), "1 bit a weight"
    rows = Binary.from_dense(layer.rows(layer.weight)).dense()
    return Dense(layer.unrows(rows)), "1 bit a weight, stored as float32"
