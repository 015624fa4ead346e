"""Binary: weights of +1 and -1 with one scale per output channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from accel.errors import FormatError
from accel.kernels import checks
from accel.kernels.binary import SignWeights, sign_linear
from accel.weights import _state
from accel.weights.base import Weight

WORD = 64
"""Channels in a word: channel c of a tap is bit c % 64 of word c // 64, 1 for +1 and 0 for -1."""


class Binary(Weight):
    """w[o, i, ...] = scale[o] * (+1 where bit i is 1, else -1).

    Parameters
    ----------
    bits : uint64, (out, words) for a weight of shape (out, in), (out, kh, kw, words) for one of (out, in/group, kh,
        kw), words = ceil(in / 64): channel c is bit c % 64 of word c // 64. Bits behind the last channel are 0.
    shape : of the dense equivalent.
    scale : float32 (out,), finite and not negative; None stands for 1 everywhere.

    Raises
    ------
    TypeError   a wrong dtype.
    ValueError  a wrong shape or layout, padding bits that are not 0, a scale that is negative or not finite.

    References
    ----------
    .. [1] Courbariaux, Bengio, David: BinaryConnect, NeurIPS 2015.
    .. [2] Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016.
    """

    kind: ClassVar[str] = "binary"

    def __init__(self, bits: np.ndarray, shape: tuple[int, ...], scale: np.ndarray | None = None) -> None:
        self.shape = _state.dims(shape)
        checks.array("bits", bits, np.uint64)
        if bits.shape != _words_shape(self.shape):
            raise ValueError(f"bits: expected shape {_words_shape(self.shape)} for {self.shape}, got {bits.shape}")
        if np.any(bits[..., -1:] & ~_last_mask(self.shape[1])):
            raise ValueError(f"bits: expected zeros behind channel {self.shape[1] - 1}, got dirty padding bits")
        if scale is not None:
            checks.array("scale", scale, np.float32, 1)
            if scale.size != self.shape[0]:
                raise ValueError(f"scale: expected {self.shape[0]} entries, one for each output, got {scale.size}")
            if not (np.isfinite(scale) & (scale >= 0)).all():
                raise ValueError("scale: expected finite values of 0 and more")
            scale = None if (scale == 1).all() else _state.frozen(scale)
        self.bits, self.scale = _state.frozen(bits), scale

    @classmethod
    def from_dense(cls, w: np.ndarray) -> Binary:
        """The nearest binary weight in the sense of least squares: sign(w), 0 counting as +1, and scale = mean |w|.

        Parameters
        ----------
        w : float32, C-contiguous, finite, at least two axes; the mean is taken over all axes but the first.
        """
        checks.array("w", w, np.float32)
        if not np.isfinite(w).all():
            raise ValueError("w: expected finite values, got NaN or infinity")
        shape = _state.dims(w.shape, "w")
        size = np.abs(w).reshape(w.shape[0], math.prod(shape[1:]))
        scale = size.mean(axis=1, dtype=np.float64) if size.shape[1] else np.zeros(w.shape[0])
        return cls(_pack(w >= 0), shape, scale.astype(np.float32))

    @classmethod
    def exactly(cls, w: np.ndarray) -> Binary | None:
        """The binary weight that equals `w`, float32 with at least two axes; None where there is none.

        There is one where all of an output's magnitudes are equal and finite, and none of its numbers -0.0.
        """
        if not isinstance(w, np.ndarray) or w.dtype != np.float32:
            raise TypeError(f"w: expected a float32 array, got {checks.describe(w)}")
        if w.ndim < 2 or w.size == 0:
            return None
        rows = w.reshape(w.shape[0], -1)
        scale = np.abs(rows[:, 0])
        # One column against the next: most dense weights are told from binary ones by their first two.
        if rows.shape[1] > 1 and not np.array_equal(scale, np.abs(rows[:, 1])):
            return None
        if not (np.isfinite(scale).all() and (np.abs(rows) == scale[:, np.newaxis]).all()):
            return None
        if np.signbit(rows[scale == 0]).any():
            return None
        return cls(_pack(w >= 0), w.shape, scale)

    @classmethod
    def from_signs(cls, signs: np.ndarray, scale: np.ndarray | None = None) -> Binary:
        """From int8 of the dense shape, every element +1 or -1."""
        checks.array("signs", signs, np.int8)
        shape = _state.dims(signs.shape, "signs")
        if signs.size and not (np.abs(signs) == 1).all():
            wrong = signs[np.abs(signs) != 1][0]
            raise ValueError(f"signs: expected +1 and -1, got {wrong}")
        return cls(_pack(signs > 0), shape, scale)

    @property
    def parameters(self) -> int:
        """Every sign counts, as every code of a `Codebook` does, and so does every scale."""
        return self.size + (0 if self.scale is None else self.scale.size)

    @property
    def nbytes(self) -> int:
        return int(self.bits.nbytes + (0 if self.scale is None else self.scale.nbytes))

    def signs(self) -> np.ndarray:
        """int8 of the dense shape, +1 and -1."""
        ones = np.unpackbits(_bytes(self.bits), axis=-1, count=self.shape[1], bitorder="little")
        signs = ones.view(np.int8) * np.int8(2) - np.int8(1)
        return np.ascontiguousarray(np.moveaxis(signs, -1, 1))

    def dense(self) -> np.ndarray:
        signs = self.signs().astype(np.float32)
        if self.scale is None:
            return signs
        result: np.ndarray = signs * self.scale.reshape(-1, *(1,) * (self.ndim - 1))
        # No -0.0 where the scale is 0.
        return result if self.scale.all() else result + np.float32(0)

    def product(self, bias: np.ndarray | None = None) -> Callable[[np.ndarray], np.ndarray] | None:
        """Of real x (BinaryConnect); None for convolutions and where there is nothing to multiply."""
        if self.ndim != 2 or 0 in self.shape:
            return None
        return partial(sign_linear, weights=SignWeights(self.bits, self.shape[1], self.scale), bias=bias)

    def flipped(self, rows: np.ndarray) -> Binary:
        """With the signs of these outputs turned around; `rows` is bool (out,)."""
        if checks.array("rows", rows, np.bool_, 1).size != self.shape[0]:
            raise ValueError(f"rows: expected {self.shape[0]} entries, one for each output, got {rows.size}")
        every = np.full((1,) * (self.bits.ndim - 1) + self.bits.shape[-1:], ~np.uint64(0))
        every[..., -1:] = _last_mask(self.shape[1])
        turned = np.where(rows.reshape(-1, *(1,) * (self.bits.ndim - 1)), self.bits ^ every, self.bits)
        return Binary(turned, self.shape, self.scale)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        ones = np.unpackbits(_bytes(self.bits), axis=-1, count=self.shape[1], bitorder="little")
        arrays = {"bits": np.packbits(ones, bitorder="little")}
        if self.scale is not None:
            arrays["scale"] = self.scale
        return arrays, {"shape": list(self.shape)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Binary:
        _state.only(cls.kind, arrays, ("bits", *(["scale"] if "scale" in arrays else [])), "arrays")
        _state.only(cls.kind, meta, ("shape",), "fields")
        bits = _state.array(cls.kind, arrays, "bits", np.uint8)
        scale = _state.array(cls.kind, arrays, "scale", np.float32) if "scale" in arrays else None
        try:
            shape = _state.dims(_state.shape(cls.kind, meta["shape"]))
            size = math.prod(shape)
            if bits.shape != (-(-size // 8),):
                raise ValueError(f"bits: expected {-(-size // 8)} bytes for {shape}, got shape {bits.shape}")
            if size % 8 and int(bits[-1]) >> size % 8:
                raise ValueError("bits: expected zeros behind the last weight")
            ones = np.unpackbits(bits, count=size, bitorder="little")
            packed = _words(ones.reshape(shape[0], *shape[2:], shape[1]))
            return cls(packed, shape, scale)
        except FormatError:
            raise
        except (TypeError, ValueError) as error:
            raise FormatError(f"{cls.kind} weight: {error}") from None


def _words_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], -(-shape[1] // WORD))


def _last_mask(channels: int) -> np.uint64:
    """The bits of a last word that are channels."""
    rest = channels % WORD
    return np.uint64(2**rest - 1) if rest else ~np.uint64(0)


def _pack(ones: np.ndarray) -> np.ndarray:
    """Words of bools of a dense shape, channels (axis 1) moved last."""
    return _words(np.moveaxis(ones, 1, -1))


def _words(ones: np.ndarray) -> np.ndarray:
    """uint64 (..., ceil(n / 64)) of (..., n) zeros and ones."""
    words = -(-ones.shape[-1] // WORD)
    packed = np.zeros((*ones.shape[:-1], words * 8), np.uint8)
    packed[..., : -(-ones.shape[-1] // 8)] = np.packbits(ones, axis=-1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False)


def _bytes(words: np.ndarray) -> np.ndarray:
    return words.astype("<u8", copy=False).view(np.uint8)
