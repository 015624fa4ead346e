"""Random features for scikit-learn by Fastfood: `FastfoodRBF`, for where `RBFSampler` is too slow."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from accel.errors import missing_extra
from accel.kernels.fastfood import Fastfood as Product
from accel.weights.fastfood import Fastfood

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
    from sklearn.utils import check_random_state
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as _why:
    raise missing_extra("scikit-learn", "sklearn", "accel.integrations.sklearn") from _why


_MOST_SIGMA = 1e30  # times the length of a row of normal numbers, which float32 has to hold


class FastfoodRBF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Features z with z(x) . z(y) close to exp(-gamma |x - y|**2), as of RBFSampler, the random matrix by Fastfood.

    z(x) = sqrt(2 / n_components) (cos(V x), sin(V x)), V of blocks S H G Pi H B whose rows are close to normal ones.
    A row takes O(n_components log d) operations in place of O(n_components d), and V is never made. Cosine and sine of
    one product are as near to the kernel as cosines of two with random offsets, or nearer [4]_, and half of the work.

    Parameters
    ----------
    gamma : "scale" or float, default 1.0
        "scale" is 1 / (n_features * X.var()).
    n_components : int, default 100
        Number of features.
    random_state : int, RandomState instance or None, default None

    Attributes
    ----------
    weight_ : accel.weights.Fastfood of shape (ceil(n_components / 2), n_features_in_); of an odd number of components
        the last sine is left out.
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn

    Notes
    -----
    Computed and returned in float32, whatever X is. G is +-1 and not normal as in [1]_: the rows of a block are then
    orthogonal [3]_, and the error of the kernel is that of RBFSampler or less, where normal ones have up to 15 % more:
    docs/kernels/fastfood.md has it measured. `accel.using(threads=)` sets the number of threads.

    References
    ----------
    .. [1] Le, Sarlos & Smola, "Fastfood: approximating kernel expansions in loglinear time", ICML 2013.
    .. [2] Rahimi & Recht, "Random features for large-scale kernel machines", NIPS 2007.
    .. [3] Yu et al., "Orthogonal random features", NIPS 2016.
    .. [4] Sutherland & Schneider, "On the error of random Fourier features", UAI 2015.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "gamma": [StrOptions({"scale"}), Interval(Real, 0, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, *, gamma: float | str = 1.0, n_components: int = 100, random_state: Any = None) -> None:
        self.gamma = gamma
        self.n_components = n_components
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any = None) -> FastfoodRBF:
        """Draw the random features for as many inputs as X (n_samples, n_features) has."""
        X = validate_data(self, X, dtype=[np.float32, np.float64])
        random = check_random_state(self.random_state)
        depth = X.shape[1]
        gamma = self.gamma
        if gamma == "scale":
            variance = float(X.var(dtype=np.float64))
            gamma = 1.0 / (depth * variance) if variance > 0 else 1.0
        # A gamma of 0 is the kernel 1: all rows alike.
        sigma = max(np.sqrt(2.0 * float(gamma)), float(np.finfo(np.float32).tiny))
        seed = int(random.randint(np.iinfo(np.int32).max))
        products = (self.n_components + 1) // 2
        if not sigma < _MOST_SIGMA:
            raise ValueError(f"gamma: expected less than {_MOST_SIGMA**2 / 2:g}, got {gamma!r:.40}")
        self.weight_ = weight = Fastfood.random((products, depth), seed, sigma, "signs")
        self._n_features_out = self.n_components
        amplitude = float(np.sqrt(2.0 / self.n_components))
        self._product = Product(weight.s, weight.g, weight.perm, weight.b, depth, products, amplitude=amplitude)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n_samples, n_features) to (n_samples, n_components) float32.

        Raises ValueError for what is not finite in float32.
        """
        check_is_fitted(self)
        with np.errstate(over="ignore", invalid="ignore"):  # what float32 does not hold is refused
            X = validate_data(self, X, dtype=np.float32, order="C", reset=False)
        z = self._product(X)
        return z if z.shape[1] == self.n_components else np.ascontiguousarray(z[:, : self.n_components])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
