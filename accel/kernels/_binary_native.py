"""Until there are native kernels: NumPy's."""

from accel.kernels._binary_numpy import (
    channel_means,
    conv_counts,
    matmul,
    max_pool,
    pack_bits,
    pack_pixels,
    sign_linear,
)

__all__ = ["channel_means", "conv_counts", "matmul", "max_pool", "pack_bits", "pack_pixels", "sign_linear"]
