"""Block-circulant products with Numba: a radix-2 transform in double, of twice the block where it is no power of 2."""

from __future__ import annotations

import numpy as np

from accel.kernels.jit import njit


@njit
def _transform(z: np.ndarray, roots: np.ndarray) -> None:
    """The discrete Fourier transform of z in place; roots[k] = exp(-+2 pi i k / n) for k < n / 2."""
    n = z.size
    j = 0
    for i in range(1, n):  # into the order of reversed bits
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            z[i], z[j] = z[j], z[i]
    half = 1
    while half < n:
        stride = n // (2 * half)
        for start in range(0, n, 2 * half):
            for k in range(half):
                a, b = z[start + k], z[start + k + half] * roots[k * stride]
                z[start + k], z[start + k + half] = a + b, a - b
        half *= 2


@njit
def block_circulant(x: np.ndarray, r: np.ndarray, y: np.ndarray) -> None:
    """y[t, u, i] = sum over v, j of r[u, v, (i - j) mod b] x[t, v, j], all float32."""
    p, q, b = r.shape
    n = 1
    while n < b:
        n *= 2
    if n != b:  # a linear convolution, folded by placing r twice
        while n < 2 * b - 1:
            n *= 2
    roots = np.exp(-2j * np.pi * np.arange(max(n // 2, 1)) / n)
    back = np.conj(roots)
    spectra = np.zeros((p, q, n), np.complex128)
    for u in range(p):
        for v in range(q):
            for k in range(b):
                spectra[u, v, k] = r[u, v, k] / n
                if n != b and k > 0:
                    spectra[u, v, n - k] = r[u, v, b - k] / n
            _transform(spectra[u, v], roots)
    inputs = np.zeros((q, n), np.complex128)
    sums = np.zeros(n, np.complex128)
    for t in range(x.shape[0]):
        inputs[:] = 0
        for v in range(q):
            for k in range(b):
                inputs[v, k] = x[t, v, k]
            _transform(inputs[v], roots)
        for u in range(p):
            sums[:] = 0
            for v in range(q):
                for k in range(n):
                    sums[k] += spectra[u, v, k] * inputs[v, k]
            _transform(sums, back)
            for k in range(b):
                y[t, u, k] = sums[k].real
