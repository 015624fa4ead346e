"""One class per stored form of a weight."""

from accel.weights._sparse import KernelArrays
from accel.weights.base import Weight, dense, weight_kinds
from accel.weights.bsr import Bsr
from accel.weights.codebook import Codebook
from accel.weights.csr import Csr
from accel.weights.csr_codebook import CsrCodebook
from accel.weights.dense_array import Dense
from accel.weights.nm import NM

__all__ = ["NM", "Bsr", "Codebook", "Csr", "CsrCodebook", "Dense", "KernelArrays", "Weight", "dense", "weight_kinds"]
