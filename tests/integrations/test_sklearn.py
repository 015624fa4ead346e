"""FastfoodRBF: scikit-learn's own checks, and the kernel that it approximates."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.kernel_approximation import RBFSampler
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.utils.estimator_checks import parametrize_with_checks

from accel.integrations.sklearn import FastfoodRBF


@parametrize_with_checks([FastfoodRBF(n_components=20)])
def test_scikit_learn_accepts_it(estimator: object, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def data(rows: int = 120, depth: int = 50) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, depth)).astype(np.float32)


def kernel_error(features: object, x: np.ndarray, gamma: float) -> float:
    z = features.fit_transform(x).astype(np.float64)  # type: ignore[attr-defined]
    return float(np.sqrt(((z @ z.T - rbf_kernel(x.astype(np.float64), gamma=gamma)) ** 2).mean()))


@pytest.mark.parametrize("gamma", [0.01, 0.05])
def test_the_kernel_is_as_near_as_with_rbf_sampler(backend: str, gamma: float) -> None:
    x, errors = data(), {}
    for kind in (FastfoodRBF, RBFSampler):
        all_of = [kernel_error(kind(gamma=gamma, n_components=1024, random_state=i), x, gamma) for i in range(4)]
        errors[kind] = float(np.mean(all_of))
    assert errors[FastfoodRBF] < 1.05 * errors[RBFSampler]
    assert errors[FastfoodRBF] < 1.2 / np.sqrt(1024)


def test_features_are_cosines_and_sines_of_the_weight() -> None:
    x = data(9, 13)
    features = FastfoodRBF(gamma="scale", n_components=37, random_state=2).fit(x)
    z = features.transform(x)
    assert z.dtype == np.float32 and z.shape == (9, 37) and features.weight_.shape == (19, 13)
    v = x.astype(np.float64) @ features.weight_.dense().astype(np.float64).T
    np.testing.assert_allclose(z, np.sqrt(2 / 37) * np.concatenate([np.cos(v), np.sin(v)], axis=1)[:, :37], atol=2e-6)
    again = pickle.loads(pickle.dumps(features))
    assert (again.transform(x) == z).all()
    assert (FastfoodRBF(gamma="scale", n_components=37, random_state=2).fit(x).transform(x) == z).all()
    assert list(features.get_feature_names_out()[:2]) == ["fastfoodrbf0", "fastfoodrbf1"]


def test_numbers_that_float32_does_not_hold_are_refused() -> None:
    x = np.random.default_rng(0).standard_normal((9, 4))
    with pytest.raises(ValueError, match="too large for dtype"):
        FastfoodRBF(n_components=8).fit(x).transform(x * 1e39)
    large = (x * 1e30).astype(np.float32)
    features = FastfoodRBF(gamma="scale", n_components=64, random_state=0).fit(large)
    same = FastfoodRBF(gamma="scale", n_components=64, random_state=0).fit(x)
    np.testing.assert_allclose(features.transform(large), same.transform(x), atol=1e-5)


def test_a_gamma_beyond_float32_is_named() -> None:
    x = data(8, 5)
    z = FastfoodRBF(gamma=1e30, n_components=9, random_state=0).fit_transform(x)
    assert (np.abs(z) <= np.sqrt(2 / 9) * 1.00001).all()
    for gamma, rows in ((1e61, x), (1e300, x), ("scale", 1e-40 * x.astype(np.float64))):
        with pytest.raises(ValueError, match="gamma: expected less than 5e"):
            FastfoodRBF(gamma=gamma).fit(rows)
