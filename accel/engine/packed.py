"""Dense weights that a session holds in another form, from which they come back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accel.kernels import runtime
from accel.kernels.sparse import SparseArrays
from accel.weights.binary import Binary
from accel.weights.csr import Csr
from accel.weights.dense_array import Dense


class PackedDense(Dense):
    """A dense weight whose numbers lie in the order of a packed array; equal to the original, bit by bit.

    It stays inside a session: anything that leaves is an array again.

    Parameters
    ----------
    shape : of the original.
    packed : what `pack` made of it.
    pack : a packing that moves numbers and adds zeros, and computes nothing. It must not hold on to the original.
    """

    def __init__(self, shape: tuple[int, ...], packed: np.ndarray, pack: Callable[[np.ndarray], np.ndarray]) -> None:
        self.shape, self._packed, self._pack = shape, packed, pack
        self._isa = runtime.isa()

    @property
    def parameters(self) -> int:
        return self.size

    @property
    def nbytes(self) -> int:
        return int(self._packed.nbytes)

    def dense(self) -> np.ndarray:
        # Where each number went is seen by packing the places themselves, counted from 1, in the bits of the floats:
        # no layout has to be known here.
        with runtime.using(isa=self._isa):
            places = self._pack(np.arange(1, self.size + 1, dtype=np.int32).view(np.float32).reshape(self.shape))
        places = places.reshape(-1).view(np.int32)
        there = places > 0
        array = np.empty(self.size, np.float32)
        array[places[there] - 1] = self._packed.reshape(-1)[there]
        array.setflags(write=False)
        return array.reshape(self.shape)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        return {"array": self.dense()}, {}


class PackedCsr(Csr):
    """A dense weight held as its values that are not zero. It stays inside a session, as a PackedDense does; a negative
    zero comes back as a zero."""

    @classmethod
    def of(cls, w: np.ndarray) -> PackedCsr:
        arrays = SparseArrays.of(w)
        return cls(arrays.values, arrays.indices, arrays.indptr, w.shape)


class PackedBinary(Binary):
    """A dense weight held as bits. It stays inside a session, as a PackedDense does."""

    @classmethod
    def of(cls, weight: Binary) -> PackedBinary:
        return cls(weight.bits, weight.shape, weight.scale)
