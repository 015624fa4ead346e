from __future__ import annotations

import numpy as np
import pytest

from accel.cli import preprocess
from accel.cli.preprocess import parse

RGB = np.array([[[[10, 20, 30], [40, 50, 60]]]], np.uint8)  # one image, 1 x 2 pixels


def test_raw255_keeps_the_numbers_and_moves_the_channels_first() -> None:
    y = parse("raw255")(RGB)
    assert y.dtype == np.float32 and y.flags.c_contiguous
    np.testing.assert_array_equal(y, [[[[10, 40]], [[20, 50]], [[30, 60]]]])


def test_cifar10_is_the_published_normalisation() -> None:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((RGB / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(parse("cifar10")(RGB), expected, rtol=1e-5)


def test_imagenet_caffe_is_bgr_minus_the_mean() -> None:
    np.testing.assert_array_equal(parse("imagenet-caffe")(RGB)[0, :, 0, 0], [30 - 104, 20 - 117, 10 - 123])


def test_mnist_sign_gives_rows_of_signs() -> None:
    y = parse("mnist-sign")(np.array([[[0, 127], [128, 255]]], np.uint8))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [[-1, -1, 1, 1]])


def test_grey_images_get_one_channel() -> None:
    assert parse("unit")(np.full((2, 4, 5), 255, np.uint8)).shape == (2, 1, 4, 5)


def test_options_change_a_named_preprocessing() -> None:
    y = parse("unit:scale=10;mean=1,2,3;std=2;order=bgr")(RGB)
    np.testing.assert_allclose(y[0, :, 0, 0], [(3 - 1) / 2, (2 - 2) / 2, (1 - 3) / 2])


def test_resizing_a_constant_image_keeps_it() -> None:
    pytest.importorskip("PIL")
    y = parse("raw255:size=4,6")(np.full((1, 3, 5, 3), 77, np.uint8))
    assert y.shape == (1, 3, 4, 6) and (y == 77).all()


def test_images_of_several_sizes_need_one_size() -> None:
    images = [np.zeros((2, 2, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"several shapes .*add size= to the preprocessing"):
        parse("unit")(images)
    pytest.importorskip("PIL")
    assert parse("unit:size=2")(images).shape == (2, 3, 2, 2)


def test_resizing_without_pillow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r"resizing images needs the package 'pillow': pip install 'accel\[image\]'"):
        preprocess.resize(RGB[0], (2, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "preprocess: expected one of raw255, unit, .* got 'nope'"),
        ("unit:colour=1", "expected the keys scale, .* got 'colour'"),
        ("unit:mean=a", "mean: expected numbers separated by commas, got 'a'"),
        ("unit:mean=nan", "mean: expected finite numbers, got 'nan'"),
        ("unit:std=1,0,1", "std: expected finite, non-zero numbers, got '1,0,1'"),
        ("unit:scale=1,2", "scale: expected one number, got '1,2'"),
        ("unit:order=rbg", "order: expected rgb or bgr, got 'rbg'"),
        ("unit:size=0", "size: expected one or two integers in 1..16384, got '0'"),
        ("unit:size=1.5", "size: expected one or two integers"),
        ("unit:size=1,2,3", "size: expected one or two integers"),
    ],
)
def test_unknown_names_and_values_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_channels_must_fit_the_mean() -> None:
    with pytest.raises(ValueError, match="mean has 3 values, but the images have 1 channels"):
        parse("cifar10")(np.zeros((1, 2, 2), np.uint8))


@pytest.mark.parametrize("images", [np.zeros((2, 3)), np.zeros((1, 2, 2, 3), complex), np.zeros((1, 1, 2, 2, 3))])
def test_arrays_that_are_no_images_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="images: expected numbers of shape"):
        parse("unit")(images)
