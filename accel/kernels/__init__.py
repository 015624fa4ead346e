"""Functions over arrays, one module per kernel family; `accel.using` chooses what runs them."""

from accel.kernels.circulant import block_circulant_matmul, circulant_matmul
from accel.kernels.conv import conv2d
from accel.kernels.csr import csr_canonical, csr_from_dense, csr_matmul, csr_validate
from accel.kernels.gaps import bitmap_decode, bitmap_encode, deltas_decode, deltas_encode, gaps_decode, gaps_encode
from accel.kernels.huffman import huffman_decode, huffman_encode
from accel.kernels.kmeans import assign_codes, kmeans_1d
from accel.kernels.linear import linear
from accel.kernels.pool import average_pool2d, global_average_pool2d, max_pool2d

__all__ = [
    "assign_codes",
    "average_pool2d",
    "bitmap_decode",
    "bitmap_encode",
    "block_circulant_matmul",
    "circulant_matmul",
    "conv2d",
    "csr_canonical",
    "csr_from_dense",
    "csr_matmul",
    "csr_validate",
    "deltas_decode",
    "deltas_encode",
    "gaps_decode",
    "gaps_encode",
    "global_average_pool2d",
    "huffman_decode",
    "huffman_encode",
    "kmeans_1d",
    "linear",
    "max_pool2d",
]
