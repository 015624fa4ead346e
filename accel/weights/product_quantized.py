"""ProductQuantized: a matrix whose rows are made of sub-vectors out of a few for each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels.codebook import MOST_VALUES
from accel.kernels.product_quantized import PackedProduct, check_quantized
from accel.weights import _state
from accel.weights._codebook_product import TableProduct
from accel.weights._product_quantized import nearest_centroids
from accel.weights.base import Weight


class ProductQuantized(Weight):
    """w[o, j size + s] = centroids[j, codes[o, j], s].

    Parameters
    ----------
    codes : (out, subs) uint8, C-contiguous; every code < k.
    centroids : (subs, k, size) float32, C-contiguous, finite, 1 <= k <= 256.
    inputs : (subs - 1) size + 1 .. subs size; what the last sub-vectors have beyond is not used. All by default.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  a wrong rank or layout, sizes that do not fit, a code without a centroid, a value that is not finite.

    Notes
    -----
    A product makes a table of what x gives with every centroid, and then looks up one number a sub-vector:
    docs/kernels/product_quantized.md.

    References
    ----------
    .. [1] Gong, Liu, Yang, Bourdev: Compressing deep convolutional networks using vector quantization, 2014.
    """

    kind: ClassVar[str] = "product_quantized"

    def __init__(self, codes: np.ndarray, centroids: np.ndarray, inputs: int | None = None) -> None:
        check_quantized(codes, centroids)
        subs, _, size = centroids.shape
        most = subs * size
        depth = most if inputs is None else checks.integer("inputs", inputs, most - size + 1, most)
        self.codes, self.centroids = _state.frozen(codes), _state.frozen(centroids)
        self.shape = codes.shape[0], depth

    @classmethod
    def fit(
        cls, w: np.ndarray, size: int = 4, values: int = 16, *, iterations: int = 20, seed: int = 0
    ) -> ProductQuantized:
        """Centroids by Lloyd's k-means for every place, from rows of `w` drawn at random.

        Parameters
        ----------
        w : (out, in) float32, C-contiguous, finite, both at least 1.
        size : of a sub-vector.
        values : centroids for each place, 1..256; no more than out.
        iterations : at most, at least 1.
        seed : of the draw.

        Raises
        ------
        TypeError   w is not a float32 array, a number not an integer.
        ValueError  w is not finite or has other axes, a number out of bounds.
        """
        checks.array("w", w, np.float32, 2)
        checks.integer("size", size, 1)
        checks.integer("values", values, 1, MOST_VALUES)
        checks.integer("iterations", iterations, 1)
        checks.integer("seed", seed, 0)
        if 0 in w.shape:
            raise ValueError(f"w: expected shape (out, in), both at least 1, got {w.shape}")
        if not np.isfinite(w).all():
            raise ValueError("w: expected finite values, got NaN or infinity")
        out, depth = w.shape
        subs, values = -(-depth // size), min(values, out)
        filled = np.zeros((out, subs * size), np.float32)
        filled[:, :depth] = w
        parts = filled.reshape(out, subs, size)
        codes, centroids = np.empty((out, subs), np.uint8), np.empty((subs, values, size), np.float32)
        rng = np.random.default_rng(seed)
        for j in range(subs):
            codes[:, j], centroids[j] = nearest_centroids(parts[:, j], values, iterations, rng)
        return cls(codes, centroids, depth)

    @property
    def parameters(self) -> int:
        """Numbers of the centroids, and the codes: as in `Codebook`, sharing makes a weight cheaper, not absent."""
        return int(self.codes.size + self.centroids.size)

    @property
    def nbytes(self) -> int:
        return int(self.codes.nbytes + self.centroids.nbytes)

    def dense(self) -> np.ndarray:
        picked = self.centroids[np.arange(self.codes.shape[1]), self.codes]
        return np.ascontiguousarray(picked.reshape(self.shape[0], -1)[:, : self.shape[1]])

    def product(self, bias: np.ndarray | None = None) -> TableProduct:
        packed = PackedProduct(self.codes, self.centroids, self.shape[1], bias)
        return TableProduct(packed, self.dense, bias)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"codes": self.codes, "centroids": self.centroids}, {"inputs": self.shape[1]}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> ProductQuantized:
        _state.only(cls.kind, arrays, ("codes", "centroids"), "arrays")
        _state.only(cls.kind, meta, ("inputs",), "fields")
        codes = _state.array(cls.kind, arrays, "codes", np.uint8)
        centroids = _state.array(cls.kind, arrays, "centroids", np.float32)
        inputs = meta["inputs"]
        if inputs is None:
            raise FormatError(f"{cls.kind} weight: expected inputs as an integer, got None")
        try:
            return cls(codes, centroids, inputs)
        except (TypeError, ValueError) as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None
