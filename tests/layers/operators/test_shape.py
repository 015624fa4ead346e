"""Operators that move elements: against NumPy and simple definitions, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.operators.call import floats, ints, refused, run

HUGE = 2**62


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_slice_by_definition(data):
    """The indices the standard defines: clamped bounds, then every step-th until the end."""
    size = data.draw(st.integers(0, 6))
    bounds = st.one_of(st.integers(-9, 9), st.sampled_from([-(2**63), 2**63 - 1]))
    start, end = data.draw(bounds), data.draw(bounds)
    step = data.draw(st.integers(-4, 4).filter(bool))
    x = np.arange(size * 2).reshape(2, size)
    begin = start + size if start < 0 else start
    stop = end + size if end < 0 else end
    begin = min(max(begin, 0), size if step > 0 else size - 1)
    stop = min(max(stop, 0 if step > 0 else -1), size)
    chosen = [
        i for i in range(size) if (i - begin) % step == 0 and (begin <= i < stop if step > 0 else begin >= i > stop)
    ]
    expected = x[:, chosen if step > 0 else chosen[::-1]]
    y = run("Slice", x, ints(start), ints(end), ints(1), ints(step))
    assert np.array_equal(y, expected)


def test_slice_refuses():
    x = floats(3, 4)
    with refused("Slice: steps: expected values other than 0, got [0]"):
        run("Slice", x, ints(0), ints(1), ints(0), ints(0))
    with refused("Slice: axes: expected in -2..1 for 2 axes, got 2"):
        run("Slice", x, ints(0), ints(1), ints(2))
    with refused("Slice: axes: expected distinct axes, got [0, -2]"):
        run("Slice", x, ints(0, 0), ints(1, 1), ints(0, -2))
    with refused("Slice: starts, ends, axes, steps: expected one length, got 1, 2, 1, 1"):
        run("Slice", x, ints(0), ints(1, 1))
    with refused("Slice: starts: expected a vector of integers, got float32 of shape (1,)"):
        run("Slice", x, np.float32([0]), ints(1))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_pad_against_numpy(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    before = data.draw(st.lists(st.integers(0, 7), min_size=len(shape), max_size=len(shape)))
    after = data.draw(st.lists(st.integers(0, 7), min_size=len(shape), max_size=len(shape)))
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect", "wrap"]))
    extra = {"constant_values": 7} if mode == "constant" else {}
    y = run("Pad", x, ints(*before, *after), np.float32(7), mode=mode)
    assert y.dtype == x.dtype
    assert np.array_equal(y, np.pad(x, list(zip(before, after, strict=True)), mode=mode, **extra))


def test_pad_crops_where_negative_and_takes_axes():
    x = np.arange(12).reshape(3, 4)
    assert np.array_equal(run("Pad", x, ints(-1, 0, 0, 1)), np.pad(x[1:], [(0, 0), (0, 1)]))
    assert np.array_equal(run("Pad", x, ints(1, -2), None, ints(-1)), np.pad(x[:, :2], [(0, 0), (1, 0)]))


def test_pad_refuses():
    x = floats(2, 3)
    with refused("Pad: pads: expected to leave a size >= 0 of shape (2, 3), got [-2, 0, -1, 0]"):
        run("Pad", x, ints(-2, 0, -1, 0))
    with refused("Pad: pads: expected 4 values, got [1, 1]"):
        run("Pad", x, ints(1, 1))
    with refused("Pad: mode: expected one of constant, reflect, edge, wrap, got 'mirror'"):
        run("Pad", x, ints(0, 0, 0, 0), mode="mirror")
    with refused("Pad: pads: expected no padding of an empty axis with mode edge, got shape (0, 3)"):
        run("Pad", np.zeros((0, 3)), ints(1, 0, 0, 0), mode="edge")
    with refused("Pad: constant_value: expected one element, got shape (2,)"):
        run("Pad", x, ints(0, 0, 0, 0), np.float32([1, 2]))


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("Expand", (np.zeros(1), ints(HUGE))),
        ("Tile", (np.zeros(2), ints(HUGE))),
        ("Pad", (np.zeros(2), ints(0, 2**40))),
        ("Pad", (np.zeros(2), ints(0, 2**40), None, ints(0))),
        ("CenterCropPad", (np.zeros(2), ints(2**40))),
        ("ConstantOfShape", (ints(HUGE, 4),)),
        ("ConstantOfShape", (ints(*[2**20] * 8),)),
        ("Range", (ints(0)[0], ints(HUGE)[0], ints(1)[0])),
        ("Range", (np.float64(0), np.float64(1e18), np.float64(1))),
        ("OneHot", (ints(0), ints(HUGE), np.zeros(2))),
        ("Gather", (np.zeros((1, 2**20)), np.zeros(2**20, np.int64))),
        ("Resize", (np.zeros((1, 1)), None, None, ints(2**20, 2**20))),
        ("Resize", (np.zeros((1, 1)), None, np.float32([1e6, 1e6]))),
        ("MaxUnpool", (np.zeros((1, 1, 1)), np.zeros((1, 1, 1), np.int64), ints(1, 1, 2**50))),
    ],
)
def test_memory_bombs_are_refused_before_anything_is_allocated(name, inputs):
    options = {"kernel_shape": [1]} if name == "MaxUnpool" else {}
    with refused(f"{name}: output: expected at most {2**33} bytes, got shape"):
        run(name, *inputs, **options)


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [([-1], {}, (24,)), ([0, -1], {}, (2, 12)), ([4, 0, 2], {}, (4, 3, 2)), ([0, 0, 4, -1], {}, (2, 3, 4, 1))],
)
def test_reshape(target, options, expected):
    assert run("Reshape", floats(2, 3, 4), ints(*target), **options).shape == expected


def test_reshape_of_nothing_with_allowzero():
    assert run("Reshape", np.zeros((0, 3)), ints(3, 0), allowzero=1).shape == (3, 0)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ([5], {}, "expected 6 elements, got [5]"),
        ([-1, -1], {}, "expected at most one -1, got [-1, -1]"),
        ([-2], {}, "expected values >= -1, got [-2]"),
        ([1, 1, 0], {}, "expected 0 only in the first 2 places, got [1, 1, 0]"),
        ([4, -1], {}, "expected a shape that 6 elements fill, got [4, -1]"),
        ([0, -1], {"allowzero": 1}, "expected a shape that 6 elements fill, got [0, -1]"),
    ],
)
def test_reshape_refuses(target, options, message):
    with refused(f"Reshape: shape: {message}"):
        run("Reshape", floats(2, 3), ints(*target), **options)


@pytest.mark.parametrize("axis", range(-3, 4))
def test_flatten(axis):
    x = floats(2, 3, 4)
    at = axis % 3 if axis < 0 else axis
    assert run("Flatten", x, axis=axis).shape == (int(np.prod(x.shape[:at])), int(np.prod(x.shape[at:])))


def test_transpose_concat_split_refuse():
    x = floats(2, 3)
    with refused("Transpose: perm: expected a permutation of the 2 axes, got (0, 0)"):
        run("Transpose", x, perm=[0, 0])
    with refused("Concat: inputs: expected shapes like (2, 3) but for axis 0, got (2, 4)"):
        run("Concat", x, floats(2, 4), axis=0)
    with refused("Concat: inputs: expected shapes like (2, 3) but for axis 0, got (3,)"):
        run("Concat", x, floats(3), axis=-2)
    with refused("Split: split: expected 2 sizes with sum 3, got [1, 1]"):
        run("Split", x, ints(1, 1), axis=1, outputs=2)
    with refused("Split: split: expected values >= 0, got [-1, 4]"):
        run("Split", x, ints(-1, 4), axis=1, outputs=2)
    with refused("Split: num_outputs: expected 2 like the outputs of the node, got 3"):
        run("Split", x, axis=1, num_outputs=3, outputs=2)


@pytest.mark.parametrize(("size", "parts", "expected"), [(7, 3, [3, 3, 1]), (6, 3, [2, 2, 2]), (2, 3, [1, 1, 0])])
def test_split_into_parts_of_which_the_last_may_be_smaller(size, parts, expected):
    assert [y.size for y in run("Split", floats(size), num_outputs=parts, outputs=parts)] == expected


def test_squeeze_unsqueeze():
    assert run("Squeeze", floats(1, 2, 1)).shape == (2,)
    assert run("Squeeze", floats(1, 2, 1), ints(-1)).shape == (1, 2)
    assert run("Unsqueeze", floats(2), ints(0, -1)).shape == (1, 2, 1)
    with refused("Squeeze: axes: expected axes of size 1 of shape (1, 2), got [1]"):
        run("Squeeze", floats(1, 2), ints(1))
    with refused("Unsqueeze: axes: expected distinct axes, got [0, -3]"):
        run("Unsqueeze", floats(2), ints(0, -3))


def test_expand_is_a_copy_and_goes_both_ways():
    x = floats(3, 1)
    y = run("Expand", x, ints(2, 1, 4))
    assert y.shape == (2, 3, 4) and y.flags.writeable and not np.may_share_memory(x, y)
    assert run("Expand", x, ints(1)).shape == (3, 1)
    with refused("Expand: shape: expected one that broadcasts with (3, 1), got [2, 2]"):
        run("Expand", x, ints(2, 2))


def test_tile_refuses():
    with refused("Tile: repeats: expected 2 values, got [1]"):
        run("Tile", floats(2, 2), ints(1))
    with refused("Tile: repeats: expected values >= 0, got [1, -1]"):
        run("Tile", floats(2, 2), ints(1, -1))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_depth_to_space_and_back(mode, block):
    x = floats(2, 2 * block**2, 3, 4)
    y = run("DepthToSpace", x, blocksize=block, mode=mode)
    assert y.shape == (2, 2, 3 * block, 4 * block)
    assert np.array_equal(run("SpaceToDepth", y, blocksize=block, mode=mode), x)


@pytest.mark.parametrize("name", ["DepthToSpace", "SpaceToDepth"])
def test_block_sizes_are_checked(name):
    with refused(f"{name}: blocksize: expected values >= 1, got [0]"):
        run(name, floats(1, 4, 2, 2), blocksize=0)
    with refused(f"{name}: input: expected 4 axes, got shape (4, 2, 2)"):
        run(name, floats(4, 2, 2), blocksize=2)
    with refused(f"{name}: input: expected"):
        run(name, floats(1, 3, 3, 3), blocksize=2)


def test_trilu_with_any_diagonal():
    x = floats(3, 4)
    assert np.array_equal(run("Trilu", x, ints(1)[0]), np.triu(x, 1))
    assert np.array_equal(run("Trilu", x, ints(2**63 - 1)[0]), np.zeros_like(x))
    assert np.array_equal(run("Trilu", x, ints(2**63 - 1)[0], upper=0), x)


@pytest.mark.parametrize(("batch", "time"), [(0, 1), (1, 0)])
def test_reverse_sequence(batch, time):
    x = np.arange(24).reshape(2, 3, 4) if batch == 0 else np.arange(24).reshape(3, 2, 4)
    y = run("ReverseSequence", x, ints(2, 3), batch_axis=batch, time_axis=time)
    for b, n in enumerate((2, 3)):
        before, after = (x[b], y[b]) if batch == 0 else (x[:, b], y[:, b])
        assert np.array_equal(after, np.concatenate([before[:n][::-1], before[n:]]))
    with refused("ReverseSequence: sequence_lens: expected 2 values in 0..3, got [4, 1]"):
        run("ReverseSequence", x, ints(4, 1), batch_axis=batch, time_axis=time)
