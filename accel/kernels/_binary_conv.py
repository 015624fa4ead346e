"""Convolution of bits with bits, prepared once. Public through accel.kernels.binary."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from accel.kernels import checks, runtime
from accel.kernels._binary_bits import MOST_BITS, backend, packed, words_for
from accel.kernels._binary_native import PreparedConvs
from accel.kernels.conv import Pads, Pair, four_pads, output_sizes, pair
from accel.kernels.program import NATIVE_ACTIVATIONS, native
from accel.reference import binary as reference


class Scaled(NamedTuple):
    """Real results: y = f(scale[o] pixel_scale[n, i, j] count + bias[o] + residual), float32 (N, O, H', W').

    scale, bias : (O,) float32, optional: 1 and 0.
    activation : None or a name of accel.kernels.program.NATIVE_ACTIVATIONS; parameters as ONNX orders them.
    pixel_major : results, and the residual, as (N, H', W', O) instead, which is how the kernels write them.
    """

    scale: np.ndarray | None = None
    bias: np.ndarray | None = None
    activation: str | None = None
    parameters: tuple[float, ...] = ()
    pixel_major: bool = False


class Thresholds(NamedTuple):
    """Bits for the next layer: bit o is 1 iff count >= at[o], or count <= at[o] where below[o].

    at : (O,) int32, any value: one beyond -n..n makes the bit constant.
    below : (O,) bool, optional: nowhere.
    """

    at: np.ndarray
    below: np.ndarray | None = None


Epilogue = Scaled | Thresholds | None

_PARAMETERS: dict[Any, tuple[int, ...]] = {
    "Clip": (2,),
    "LeakyRelu": (0, 1),
    "HardSigmoid": (0, 2),
}  # how many; none of the others


class BinaryConv:
    """A convolution of +-1 activations with +-1 filters, packed once and prepared once for each input shape.

    count[n, i, j, o] = sum_{p, q, c} w[o, p, q, c] x[n, i sh + p dh - top, j sw + q dw - left, c], exact integers, over
    the taps and the channels of the group of o. A matrix product is a 1 x 1 convolution over an image of m x 1 pixels.

    Parameters
    ----------
    w_bits : (O, kh, kw, ceil(channels / 64)) uint64: each tap's channels packed by `pack_bits`.
    channels : of a filter, C / group.
    strides, dilations : integer or (h, w), at least 1.
    pads : p, (ph, pw) or (top, left, bottom, right), at least 0.
    pad_value : what stands outside the image: -1, 0 or +1.
    group : number of groups; divides O. Channel c of the image is bit c % 64 of word c // 64, whatever the group.
    epilogue : what becomes of the counts. None: int32 (N, H', W', O). `Scaled`: float32 (N, O, H', W').
        `Thresholds`: uint64 (N, H', W', ceil(O / 64)), bits after O zero.

    Raises
    ------
    TypeError   an array has another dtype, or a parameter is not an integer (nothing is converted).
    ValueError  shapes, groups or parameters do not fit, bits after the channels are set, pad_value is another, or there
                are 2**30 terms or more.

    Notes
    -----
    Arrays are kept, not copied: do not change them. An object may be called by any number of threads.
    """

    def __init__(
        self,
        w_bits: np.ndarray,
        channels: int,
        *,
        strides: int | Pair = 1,
        pads: int | Pair | Pads = 0,
        dilations: int | Pair = 1,
        group: int = 1,
        pad_value: int = 0,
        epilogue: Epilogue = None,
    ) -> None:
        self.channels = checks.integer("channels", channels, 1, MOST_BITS)
        self.group = checks.integer("group", group, 1)
        self.w_bits = packed("w_bits", w_bits, self.channels, 4)
        if 0 in w_bits.shape or w_bits.shape[0] % self.group:
            raise ValueError(f"w_bits: expected filters and taps, filters a multiple of {group}, got {w_bits.shape}")
        if self.channels * w_bits.shape[1] * w_bits.shape[2] >= MOST_BITS:
            raise ValueError(f"w_bits: expected fewer than 2**30 terms, got {w_bits.shape} of {channels} channels")
        self.filters, self.kernel = w_bits.shape[0], (w_bits.shape[1], w_bits.shape[2])
        self.strides, self.dilations = pair("strides", strides, 1), pair("dilations", dilations, 1)
        self.pads, self.pad_value = four_pads(pads), checks.integer("pad_value", pad_value, -1, 1)
        self.epilogue = self._checked(epilogue)
        self._native = PreparedConvs()

    @property
    def terms(self) -> int:
        """n: the terms of a count, which lies in -n..n."""
        return int(self.channels * self.kernel[0] * self.kernel[1])

    def output_shape(self, images: int, height: int, width: int) -> tuple[int, int, int]:
        """(N, H', W') for an input of (N, H, W); ValueError where the kernel does not fit."""
        size = (height, width)
        rows, columns = output_sizes(size, self.kernel, self.strides, self.pads, self.dilations)
        if rows <= 0 or columns <= 0 or 0 in size:
            raise ValueError(
                f"x: a kernel of {self.kernel} with pads {self.pads} and dilations {self.dilations} does not fit {size}"
            )
        return images, rows, columns

    def __call__(
        self,
        x: np.ndarray,
        *,
        residual: np.ndarray | None = None,
        pixel_scale: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """The convolution of x.

        Parameters
        ----------
        x : (N, H, W, ceil(group * channels / 64)) uint64, from `pack_pixels` or an earlier layer.
        residual : (N, O, H', W') float32, with `Scaled` only; may be out.
        pixel_scale : (N, H', W') float32, with `Scaled` only, from `binary_scale_map`.
        out : of the result's shape and dtype, optional; must not overlap x, pixel_scale, or a part of residual.

        Raises
        ------
        TypeError   an array has another dtype.
        ValueError  a shape does not fit, bits of x after its channels are set, or there is no `Scaled` to use an
                    argument.
        """
        if residual is None and pixel_scale is None and native():
            y = self._native.again(x, out)
            if y is not None:
                return y
        packed("x", x, self.group * self.channels, 4)
        pixels = self.output_shape(*x.shape[:3])
        self._check_arguments(pixels, residual, pixel_scale)
        y = self._output(pixels, out, x=x, residual=_beside(residual, out), pixel_scale=pixel_scale)
        if x.shape[0]:
            self._run(x, y, residual, pixel_scale)
        return y

    def prepare(
        self,
        images: int,
        height: int,
        width: int,
        y: Any = None,
        residual: Any = None,
        signs: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    ) -> Any:
        """The native convolution of images of this shape, for `Program.binary_conv`; it has `scratch_floats`.

        y, residual : blocked maps of real results and what is added to them, or None: pixel-major. Where there are
            groups, maps want a multiple of 16 filters in each (ValueError).
        signs : with a map y, thresholds of the results by filter, as `at` and `below` of `pack_pixels`: the convolution
            then gives those bits as well.
        """
        return self._native.get(self, (images, height, width), y, residual, signs)

    def _run(self, x: np.ndarray, y: np.ndarray, residual: np.ndarray | None, pixel_scale: np.ndarray | None) -> None:
        if native():
            return self._native.run(self, x, y, residual, pixel_scale)
        pixels = self.output_shape(*x.shape[:3])
        counts = y if self.epilogue is None else runtime.empty((*pixels, self.filters), np.int32)
        backend().conv_counts(
            x, self.w_bits, self.channels, self.pad_value, self.strides, self.pads, self.dilations, self.group, counts
        )
        if isinstance(self.epilogue, Thresholds):
            at, below = self.epilogue
            assert below is not None
            bits = np.where(below, counts <= at, counts >= at)
            backend().pack_bits(bits.astype(np.float32) - np.float32(0.5), y)
        elif self.epilogue is not None:
            self._scale(self.epilogue, counts, y, residual, pixel_scale)

    def _scale(
        self, e: Scaled, counts: np.ndarray, y: np.ndarray, residual: np.ndarray | None, pixel_scale: np.ndarray | None
    ) -> None:
        to = y.transpose(0, 3, 1, 2) if e.pixel_major else y
        added = residual.transpose(0, 3, 1, 2) if residual is not None and e.pixel_major else residual
        to[...] = reference.scaled(
            counts.transpose(0, 3, 1, 2), e.scale, e.bias, added, pixel_scale, e.activation, e.parameters
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the filters, as given and as packed so far."""
        return int(self.w_bits.nbytes + self._native.nbytes)

    @property
    def gives_bits(self) -> bool:
        """Whether results are bits."""
        return isinstance(self.epilogue, Thresholds)

    @property
    def gives_planes(self) -> bool:
        """Whether results are real and N x C x H x W."""
        return isinstance(self.epilogue, Scaled) and not self.epilogue.pixel_major

    def _result_shape(self, pixels: tuple[int, int, int]) -> tuple[int, ...]:
        if self.gives_planes:
            return pixels[0], self.filters, *pixels[1:]
        return *pixels, words_for(self.filters) if self.gives_bits else self.filters

    def _output(self, pixels: tuple[int, int, int], out: np.ndarray | None, **inputs: np.ndarray | None) -> np.ndarray:
        dtype = np.uint64 if self.gives_bits else np.int32 if self.epilogue is None else np.float32
        return checks.output("out", out, dtype, self._result_shape(pixels), **inputs)

    def _check_arguments(
        self, pixels: tuple[int, int, int], residual: np.ndarray | None, pixel_scale: np.ndarray | None
    ) -> None:
        expected = {"residual": self._result_shape(pixels), "pixel_scale": pixels}
        for name, value in (("residual", residual), ("pixel_scale", pixel_scale)):
            if value is None:
                continue
            if not isinstance(self.epilogue, Scaled):
                raise ValueError(f"{name}: expected none, as the epilogue is not Scaled")
            if checks.array(name, value, np.float32).shape != expected[name]:
                raise ValueError(f"{name}: expected shape {expected[name]}, got {value.shape}")

    def _checked(self, epilogue: Any) -> Epilogue:
        if epilogue is None:
            return None
        if isinstance(epilogue, Thresholds):
            self._per_filter("at", epilogue.at, np.int32)
            below = np.zeros(self.filters, np.bool_) if epilogue.below is None else epilogue.below
            self._per_filter("below", below, np.bool_)
            return Thresholds(epilogue.at, below)
        if not isinstance(epilogue, Scaled):
            raise TypeError(f"epilogue: expected None, Scaled or Thresholds, got {checks.describe(epilogue)}")
        for name in ("scale", "bias"):
            if getattr(epilogue, name) is not None:
                self._per_filter(name, getattr(epilogue, name), np.float32)
        _check_activation(epilogue.activation, epilogue.parameters)
        return epilogue

    def _per_filter(self, name: str, value: Any, dtype: Any) -> None:
        if checks.array(name, value, dtype, 1).shape != (self.filters,):
            raise ValueError(f"{name}: expected shape ({self.filters},), got {value.shape}")


def _beside(residual: np.ndarray | None, out: Any) -> np.ndarray | None:
    """The residual where it must not overlap out: it may be out itself."""
    if residual is None or not isinstance(out, np.ndarray):
        return None
    same = residual.__array_interface__["data"][0] == out.__array_interface__["data"][0]
    return None if same else residual


def _check_activation(name: Any, parameters: Any) -> None:
    if name is not None and not (isinstance(name, str) and name in NATIVE_ACTIVATIONS):
        raise ValueError(f"activation: expected one of {sorted(NATIVE_ACTIVATIONS)}, got {name!r}")
    counts = _PARAMETERS.get(name, (0,))
    if not isinstance(parameters, (tuple, list)) or len(parameters) not in counts:
        expected = " or ".join(map(str, counts))
        raise ValueError(f"parameters: expected {expected} of them for {name}, got {checks.describe(parameters)}")
    if not all(isinstance(value, Real) for value in parameters):
        raise TypeError(f"parameters: expected numbers, got {checks.describe(parameters)}")


def binary_conv2d(
    x: np.ndarray,
    w_bits: np.ndarray,
    channels: int,
    *,
    strides: int | Pair = 1,
    pads: int | Pair | Pads = 0,
    dilations: int | Pair = 1,
    group: int = 1,
    pad_value: int = 0,
    epilogue: Epilogue = None,
    residual: np.ndarray | None = None,
    pixel_scale: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """One convolution of bits; parameters, result and errors as those of `BinaryConv`, which packs w_bits only once."""
    conv = BinaryConv(
        w_bits, channels, strides=strides, pads=pads, dilations=dilations, group=group, pad_value=pad_value,
        epilogue=epilogue,
    )  # fmt: skip
    return conv(x, residual=residual, pixel_scale=pixel_scale, out=out)
