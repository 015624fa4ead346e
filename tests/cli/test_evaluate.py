from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accel.cli.data import Images
from accel.cli.evaluate import evaluate
from accel.cli.preprocess import parse


def images(labels: list[int]) -> Images:
    return Images(Path("test"), np.array(labels), np.zeros((len(labels), 1, 1), np.uint8))


def counted(scores: np.ndarray, labels: list[int], batch: int = 2) -> tuple[int, int | None]:
    rows = iter(np.array_split(scores, range(batch, len(scores), batch)))
    result = evaluate(lambda x: next(rows), images(labels), parse("raw255"), batch)
    assert result.images == len(labels) and result.seconds > 0
    return result.top1, result.top5


def test_hits_are_counted_over_batches() -> None:
    scores = np.eye(10, dtype=np.float32)[[0, 1, 2, 3, 4]]
    assert counted(scores, [0, 1, 9, 3, 4]) == (4, 4)


def test_the_fifth_best_class_counts_and_the_sixth_does_not() -> None:
    scores = np.tile(np.arange(10, 0, -1, dtype=np.float32), (2, 1))
    assert counted(scores, [4, 5]) == (0, 1)


def test_five_classes_have_no_top5() -> None:
    assert counted(np.eye(5, dtype=np.float32)[[0, 1]], [0, 0]) == (1, None)


def test_nan_never_wins() -> None:
    assert counted(np.array([[np.nan, 0, 1]]), [2]) == (1, None)
    assert counted(np.array([[np.nan, 0, 1]]), [0]) == (0, None)


def test_scores_of_shape_n_c_1_1_are_rows() -> None:
    assert counted(np.eye(3)[[1, 2]].reshape(2, 3, 1, 1), [1, 2]) == (2, None)


@pytest.mark.parametrize("scores", [np.zeros((3, 10)), np.zeros((2, 1)), np.zeros(2)])
def test_outputs_that_are_no_scores_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected 2 rows of class scores, got shape"):
        evaluate(lambda x: scores, images([0, 0]), parse("raw255"), 2)


def test_a_label_beyond_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"labels: expected classes 0\.\.9, got 10"):
        evaluate(lambda x: np.zeros((2, 10)), images([0, 10]), parse("raw255"), 2)
