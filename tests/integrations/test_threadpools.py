"""threadpoolctl sees and limits accel's threads."""

from __future__ import annotations

import pytest

from accel.kernels import runtime

threadpoolctl = pytest.importorskip("threadpoolctl")


@pytest.mark.skipif(runtime.core is None, reason="native kernels are not built")
def test_limits_apply_and_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    import accel.integrations.threadpools  # noqa: F401

    monkeypatch.setenv("ACCEL_NUM_THREADS", "5")
    with threadpoolctl.threadpool_limits(3, user_api="accel"):
        assert runtime.threads() == 3
        assert [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "accel"] == [3]
        with runtime.using(threads=2):
            assert runtime.threads() == 2
    assert runtime.threads() == 5
    monkeypatch.setenv("ACCEL_NUM_THREADS", "6")
    assert runtime.threads() == 6
