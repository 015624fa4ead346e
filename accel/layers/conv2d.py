"""Conv2d: a weight bound to its geometry."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from accel.errors import shown
from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels._conv_cost import promising, sparse_cycles
from accel.kernels.conv import ALGORITHMS, Pair, choose_method, conv2d, conv2d_packed, four_pads, pair
from accel.kernels.conv_native import SPARSE
from accel.kernels.sparse import SparseArrays, SparseWeights, StoredRows
from accel.layers._binary import SignConv, checked_binarization
from accel.layers._operands import Remade, check_operands
from accel.layers._windows import WindowConv, circulant_conv, codebook_conv
from accel.layers.activation import apply_activation, checked_activation
from accel.weights.base import Weight, dense
from accel.weights.binary import Binary
from accel.weights.circulant import BlockCirculant
from accel.weights.codebook import Codebook
from accel.weights.zeros import few_values, sparse_arrays, stored_rows


class Conv2d(Remade):
    """y = activation(conv2d(x, weight) + bias) for x of shape (N, C, H, W).

    Parameters
    ----------
    weight : (O, C/group, kh, kw) float32 array or any Weight of that shape, kept as `.weight`.
    bias : (O,) float32, optional.
    strides, pads, dilations, group, algorithm : as in accel.kernels.conv2d.
    activation : None or one of accel.layers.activation.ACTIVATIONS.
    binarize_input : multiply the signs of x, 0 counting as +1, instead of x: a convolution of bits. `Binary` weights
        only; `algorithm` is not asked.
    pad_value : what stands outside the signs of x: -1, 0 or +1. With `binarize_input` only, as is
    scale_input : multiply each pixel of the result by the mean |x| of its window, 0 outside x (XNOR-Net's K).

    Raises
    ------
    TypeError, ValueError  a dtype, shape or parameter is not as above.

    Sparse weights (`Csr` and its kin) run without their zeros where `algorithm` is "auto" and that is predicted to be
    faster, `BlockCirculant` ones by transforms and a `Codebook` of few zeros from its codes on the same terms; other
    weights through the dense form. Any is packed
    at the first call. On the Numba back end sparse weights run as they are held, on NumPy all through the dense form.
    """

    _arguments = (
        "weight", "bias", "strides", "pads", "dilations", "group", "activation", "algorithm",
        "binarize_input", "pad_value", "scale_input",
    )  # fmt: skip

    def __init__(
        self,
        weight: np.ndarray | Weight,
        bias: np.ndarray | None = None,
        *,
        strides: int | Pair = 1,
        pads: int | Pair | tuple[int, int, int, int] = 0,
        dilations: int | Pair = 1,
        group: int = 1,
        activation: str | None = None,
        algorithm: str = "auto",
        binarize_input: bool = False,
        pad_value: int = 0,
        scale_input: bool = False,
    ) -> None:
        check_operands(weight, bias, 4)
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {shown(algorithm)}")
        self.weight, self.bias, self.algorithm = weight, bias, algorithm
        self.strides, self.dilations = pair("strides", strides, 1), pair("dilations", dilations, 1)
        self.pads, self.group = four_pads(pads), checks.integer("group", group, 1)
        if weight.shape[0] % self.group:
            raise ValueError(f"group: expected to divide the {weight.shape[0]} filters of weight, got {self.group}")
        self.activation = checked_activation(activation)
        self.binarize_input, self.scale_input = checked_binarization(weight, binarize_input, scale_input)
        self.pad_value = checks.integer("pad_value", pad_value, -1, 1)
        if self.pad_value and not binarize_input:
            raise ValueError("pad_value: expected 0 where the input is not binarized")
        self._own = self._own_convolution()
        self._methods: dict[Pair, Any] = {}  # by output size
        self._packed: dict[Any, Any] = {}  # by method, and by instruction set

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 to (N, O, H', W')."""
        if self._own is not None and self._own.serves(x):
            return apply_activation(self.activation, self._own(x))
        geometry, shape = self._geometry(), self.weight.shape
        if runtime.backend() == "numba" and self.algorithm == "auto" and self._stored is not None:
            from accel.kernels.sparse_numba import sparse_conv2d_numba

            return sparse_conv2d_numba(x, self._stored, self.bias, self.activation, shape, **geometry)
        if not native.native() or 0 in shape or shape[0] % self.group:
            y = conv2d(x, dense(self.weight), self.bias, **geometry, algorithm=self.algorithm)
        else:
            y = conv2d_packed(x, shape, self._prepared, **geometry)
        return apply_activation(self.activation, y)

    def _geometry(self) -> dict[str, Any]:
        return {"strides": self.strides, "pads": self.pads, "dilations": self.dilations, "group": self.group}

    def _own_convolution(self) -> SignConv | WindowConv | None:
        """What computes by a kernel made for the weight, where it serves."""
        weight = self.weight
        if self.binarize_input and isinstance(weight, Binary) and 0 not in weight.shape:
            return SignConv(weight, self.bias, self._geometry(), self.pad_value, self.scale_input)
        if self.algorithm != "auto" or self.group != 1:
            return None
        geometry = self.bias, self.strides, self.pads, self.dilations
        if isinstance(weight, BlockCirculant):
            return circulant_conv(weight, *geometry)
        if isinstance(weight, Codebook) and 0 not in weight.shape and few_values(weight) is None:
            return codebook_conv(weight, *geometry)
        return None

    def _prepared(self, size: Pair) -> tuple[Any, Any]:
        """The method for an output of `size`, and weights as it reads them; each is made once."""
        if size not in self._methods:
            self._methods[size] = self._method(size)
        method = self._methods[size]
        key = (method, runtime.isa_index() if method == SPARSE else None)  # only sparse weights are packed for one
        if key not in self._packed:
            self._packed[key] = self._pack(method)
        return method, self._packed[key]

    def _method(self, size: Pair) -> Any:
        shape, arrays = self.weight.shape, self._sparse
        if arrays is not None and self.algorithm == "auto":
            best = promising(shape, size, self.strides, self.dilations, self.group, 1.0)[0][1]
            if sparse_cycles(shape, size, arrays.values.size) < best:
                return SPARSE
        return choose_method(self.algorithm, dense(self.weight), size, self.strides, self.dilations, self.group)

    def _pack(self, method: Any) -> Any:
        if method == SPARSE:
            arrays = self._sparse
            assert arrays is not None
            return SparseWeights(arrays, int(np.prod(self.weight.shape[1:])), self.group), self.bias
        return method.pack(dense(self.weight), self.bias, self.strides, self.group)

    @cached_property
    def _sparse(self) -> SparseArrays | None:
        """A sparse weight's arrays; an array is dense, whatever it holds."""
        return sparse_arrays(self.weight) if isinstance(self.weight, Weight) and self.weight.shape[1] > 1 else None

    @cached_property
    def _stored(self) -> StoredRows | None:
        """The same as it is held."""
        return stored_rows(self.weight) if isinstance(self.weight, Weight) else None
