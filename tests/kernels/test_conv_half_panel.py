"""A last panel that holds at most eight outputs: only half of it is computed, with the same results."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.floats import Convolution, assert_same_bits, normal, using
from kernels.prepared import Around, check_residual_and_activations, check_same_bits, run_prepared

from accel.kernels import program, runtime
from accel.kernels.conv_native import method_named

if runtime.core is None:
    pytest.skip("the native kernels are not built", allow_module_level=True)

OUTPUTS = [1, 7, 8, 17, 24, 33, 40, 56]


@pytest.mark.parametrize("out", OUTPUTS)
def test_the_same_bits_as_from_whole_panels(isa: str, out: int) -> None:
    """Of tiles of every number of rows, and beside halos."""
    whole = -(-out // program.BLOCK) * program.BLOCK
    for channels, kernel, width in [(17, 1, w) for w in range(1, 31)] + [(8, 3, 9), (40, 3, 31), (130, 1, 57)]:
        case = Convolution(channels, whole, (3, width), (kernel,) * 2, pads=(kernel // 2,) * 4, images=1)
        x, w, bias = case.arrays()
        assert bias is not None
        expected = run_prepared(case, "direct", (x, w, bias), Around())[:, :out]
        given = (x, np.ascontiguousarray(w[:out]), np.ascontiguousarray(bias[:out]))
        assert_same_bits(run_prepared(case._replace(out=out), "direct", given, Around(halo=width % 2)), expected)


@pytest.mark.parametrize("out", [8, 24, 40])
def test_residual_and_activations(isa: str, out: int) -> None:
    check_residual_and_activations(Convolution(20, out, (5, 9), (1, 1), pads=(0,) * 4), "direct")


@pytest.mark.parametrize("out", [8, 24, 40])
def test_threads_and_batch_do_not_change_a_bit(isa: str, out: int) -> None:
    check_same_bits(Convolution(65, out, (9, 31), (1, 1), pads=(0,) * 4, images=3), "direct", [])


def test_the_other_half_is_finite() -> None:
    for isa in runtime.isa_info()["supported"]:
        with using(f"native-{isa}"):
            source, target = program.blocked_map((1, 16, 4, 5)), program.blocked_map((1, 24, 4, 5))
            method = method_named("direct", (24, 16, 1, 1), (1, 1), (1, 1), 1)
            spec = program.conv_spec(source, target, (1, 1), strides=(1, 1), before=(0, 0), dilations=(1, 1))
            steps, packed = program.new_program(), method.pack(normal(24, 16, 1, 1), None, (1, 1), 1)
            x, y, none = program.place(0), program.place(1), program.place(program.NOWHERE)
            steps.conv(method.prepare(spec, 1), x, y, none, none, *packed)
            arrays = [np.ones(source.floats, np.float32), np.full(target.floats, np.nan, np.float32)]
            program.run(steps, np.zeros(2, np.uintp), list(enumerate(arrays)))
            assert np.isfinite(arrays[1].reshape(2, target.plane)[:, : 20 * program.BLOCK]).all()
