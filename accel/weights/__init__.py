"""One class per stored form of a weight."""

from accel.weights.base import Weight, dense, weight_kinds
from accel.weights.codebook import Codebook
from accel.weights.csr import Csr
from accel.weights.dense_array import Dense

__all__ = ["Codebook", "Csr", "Dense", "Weight", "dense", "weight_kinds"]
