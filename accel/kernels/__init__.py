"""Functions over arrays, one module per kernel family; `accel.using` chooses what runs them."""

from accel.kernels._huffman_stream import huffman_decode_stream, huffman_encode_stream
from accel.kernels.binary import (
    binary_conv2d,
    binary_matmul,
    binary_max_pool2d,
    binary_scale_map,
    pack_bits,
    pack_pixels,
    sign_linear,
    unpack_bits,
    unpack_pixels,
)
from accel.kernels.circulant import (
    block_circulant_grad_r,
    block_circulant_grad_x,
    block_circulant_matmul,
    circulant_matmul,
)
from accel.kernels.codebook import codebook_matmul
from accel.kernels.conv import conv2d
from accel.kernels.csr import csr_canonical, csr_from_dense, csr_matmul, csr_validate
from accel.kernels.fastfood import fastfood, fastfood_backward
from accel.kernels.floats import float_decode, float_encode
from accel.kernels.fwht import fwht
from accel.kernels.gaps import (
    bitmap_decode,
    bitmap_encode,
    bitmap_expand,
    deltas_decode,
    deltas_encode,
    gaps_decode,
    gaps_encode,
    gaps_expand,
)
from accel.kernels.hashed import hashed_backward, hashed_matmul
from accel.kernels.huffman import huffman_decode, huffman_encode
from accel.kernels.kmeans import assign_codes, kmeans_1d
from accel.kernels.linear import linear
from accel.kernels.pool import average_pool2d, global_average_pool2d, max_pool2d
from accel.kernels.product_quantized import product_quantized_matmul

__all__ = [
    "assign_codes",
    "average_pool2d",
    "binary_conv2d",
    "binary_matmul",
    "binary_max_pool2d",
    "binary_scale_map",
    "bitmap_decode",
    "bitmap_encode",
    "bitmap_expand",
    "block_circulant_grad_r",
    "block_circulant_grad_x",
    "block_circulant_matmul",
    "circulant_matmul",
    "codebook_matmul",
    "conv2d",
    "csr_canonical",
    "csr_from_dense",
    "csr_matmul",
    "csr_validate",
    "deltas_decode",
    "deltas_encode",
    "fastfood",
    "fastfood_backward",
    "float_decode",
    "float_encode",
    "fwht",
    "gaps_decode",
    "gaps_encode",
    "gaps_expand",
    "global_average_pool2d",
    "hashed_backward",
    "hashed_matmul",
    "huffman_decode",
    "huffman_decode_stream",
    "huffman_encode",
    "huffman_encode_stream",
    "kmeans_1d",
    "linear",
    "max_pool2d",
    "pack_bits",
    "pack_pixels",
    "product_quantized_matmul",
    "sign_linear",
    "unpack_bits",
    "unpack_pixels",
]
