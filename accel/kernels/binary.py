"""Binary networks: signs packed to bits, products and convolutions of bits by XOR and population count.

Bit order, everywhere: sign i of the last axis (channel c of a pixel) is bit i % 64 of word i // 64, set for +1 and
clear for -1; the bits after the last sign are 0. Images of bits are pixel-major, (N, H, W, words).
"""

from accel.kernels._binary_bits import (
    binary_matmul,
    binary_max_pool2d,
    binary_scale_map,
    pack_bits,
    pack_pixels,
    unpack_bits,
    unpack_pixels,
    words_for,
)
from accel.kernels._binary_conv import BinaryConv, Epilogue, Scaled, Thresholds, binary_conv2d
from accel.kernels._sign_product import SignWeights, sign_linear

__all__ = [
    "BinaryConv",
    "Epilogue",
    "Scaled",
    "SignWeights",
    "Thresholds",
    "binary_conv2d",
    "binary_matmul",
    "binary_max_pool2d",
    "binary_scale_map",
    "pack_bits",
    "pack_pixels",
    "sign_linear",
    "unpack_bits",
    "unpack_pixels",
    "words_for",
]
