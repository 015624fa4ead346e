"""Linear: a weight bound to a bias and an activation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels import program as native
from accel.kernels._linear_cost import linear_cycles
from accel.kernels._sparse_product import SparseProduct
from accel.kernels.linear import PackedLinear, linear
from accel.kernels.sparse import SparseArrays, StoredRows
from accel.layers._binary import SignLinear, checked_binarization
from accel.layers._operands import Remade, check_operands
from accel.layers.activation import apply_activation, checked_activation
from accel.weights.base import Weight, dense
from accel.weights.binary import Binary
from accel.weights.codebook import Codebook
from accel.weights.zeros import few_values, sparse_arrays, stored_rows

_MOST = 64  # numbers of rows whose choice is remembered


class Linear(Remade):
    """y = activation(x W^T + bias) for x of shape (..., in).

    Parameters
    ----------
    weight : (out, in) float32 array or any Weight of that shape, kept as `.weight`.
    bias : (out,) float32, optional.
    activation : None or one of accel.layers.activation.ACTIVATIONS.
    binarize_input : multiply the signs of x, 0 counting as +1, instead of x: a product of bits. `Binary` weights only.
    scale_input : multiply a row's products by its mean |x| (XNOR-Net). With `binarize_input` only.

    Raises
    ------
    TypeError, ValueError  a dtype or shape is not as above, or the activation is unknown.

    `Binary` weights multiply x by one bit a weight; structured ones (circulant, `Fastfood`, `Hashed`) have kernels of
    their own, and a `Codebook` of few zeros is multiplied straight from its codes where that is predicted to be faster
    than the dense form. Sparse ones (`Csr` and its kin) run without their zeros where that is predicted to be faster;
    others, and few zeros, through the dense form. Any is packed at the first call. On the Numba back end sparse weights
    run as they are held, on NumPy all but codes through the dense form.
    """

    _arguments = ("weight", "bias", "activation", "binarize_input", "scale_input")

    def __init__(
        self,
        weight: np.ndarray | Weight,
        bias: np.ndarray | None = None,
        activation: str | None = None,
        *,
        binarize_input: bool = False,
        scale_input: bool = False,
    ) -> None:
        check_operands(weight, bias, 2)
        self.weight, self.bias, self.activation = weight, bias, checked_activation(activation)
        self.binarize_input, self.scale_input = checked_binarization(weight, binarize_input, scale_input)
        self._own = self._own_product()
        self._packed: PackedLinear | None = None
        self._product: SparseProduct | None = None
        self._gain: dict[tuple[int, int], bool] = {}  # by rows of x and instruction set

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(..., in) float32 to (..., out)."""
        checks.array("x", x, np.float32)
        depth = self.weight.shape[1]
        if x.ndim == 0 or x.shape[-1] != depth:
            raise ValueError(f"x: expected shape (..., {depth}), got {x.shape}")
        if self._own is not None:
            return apply_activation(self.activation, self._own(x))
        if runtime.backend() == "numba" and x.size and self._stored is not None:
            from accel.kernels.sparse_numba import sparse_linear_numba

            return sparse_linear_numba(x, self._stored, self.bias, self.activation)
        if not native.native() or 0 in x.shape or 0 in self.weight.shape:
            return apply_activation(self.activation, linear(x, dense(self.weight), self.bias))
        rows, arrays = x.size // depth, self._sparse
        if arrays is not None and self._gains(rows, arrays):
            if self._product is None:
                self._product = SparseProduct(arrays, depth, self.bias)
            return apply_activation(self.activation, self._product(x))
        if self._packed is None:
            self._packed = PackedLinear(dense(self.weight), self.bias)
        return apply_activation(self.activation, self._packed(x))

    def _own_product(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """What multiplies by a kernel made for the weight."""
        weight = self.weight
        if self.binarize_input and isinstance(weight, Binary) and 0 not in weight.shape:
            return SignLinear(weight, self.bias, self.scale_input)
        if isinstance(weight, Codebook) and few_values(weight) is not None:
            return None  # faster without its zeros
        return weight.product(self.bias) if isinstance(weight, Weight) else None

    def _gains(self, rows: int, arrays: SparseArrays) -> bool:
        key = rows, runtime.isa_index()
        gains = self._gain.get(key)
        if gains is None:
            out, depth = self.weight.shape
            dense, sparse = linear_cycles(rows, out, depth, arrays.values.size)
            if len(self._gain) >= _MOST:
                self._gain.clear()
            gains = self._gain[key] = sparse < dense
        return gains

    @cached_property
    def _sparse(self) -> SparseArrays | None:
        """A sparse weight's arrays; an array is dense, whatever it holds."""
        return sparse_arrays(self.weight) if isinstance(self.weight, Weight) else None

    @cached_property
    def _stored(self) -> StoredRows | None:
        """The same as it is held."""
        return stored_rows(self.weight) if isinstance(self.weight, Weight) else None
