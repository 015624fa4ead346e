"""One class per stored form of a weight."""

from accel.weights.base import Weight, dense, weight_kinds
from accel.weights.binary import Binary
from accel.weights.bsr import Bsr
from accel.weights.circulant import BlockCirculant, Circulant
from accel.weights.codebook import Codebook
from accel.weights.csr import Csr
from accel.weights.csr_codebook import CsrCodebook
from accel.weights.dense_array import Dense
from accel.weights.fastfood import Fastfood
from accel.weights.hashed import Hashed
from accel.weights.nm import NM
from accel.weights.product_quantized import ProductQuantized
from accel.weights.zeros import sparse_arrays

__all__ = [
    "NM",
    "Binary",
    "BlockCirculant",
    "Bsr",
    "Circulant",
    "Codebook",
    "Csr",
    "CsrCodebook",
    "Dense",
    "Fastfood",
    "Hashed",
    "ProductQuantized",
    "Weight",
    "dense",
    "sparse_arrays",
    "weight_kinds",
]
