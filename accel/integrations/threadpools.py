"""accel under threadpoolctl: importing this module makes `threadpool_limits` govern accel's threads too.

import accel.integrations.threadpools
with threadpoolctl.threadpool_limits(1): ...
"""

from __future__ import annotations

from accel.errors import missing_extra

try:
    import threadpoolctl
except ImportError as _why:
    raise missing_extra("threadpoolctl", "threadpools", "accel.integrations.threadpools") from _why


class AccelController(threadpoolctl.LibController):  # type: ignore[misc]
    """Finds the native module by its two functions. Without native kernels there is nothing to limit."""

    user_api = "accel"
    internal_api = "accel"
    filename_prefixes = ("_core",)
    check_symbols = ("accel_get_num_threads", "accel_set_num_threads")

    def get_num_threads(self) -> int:
        return int(self.dynlib.accel_get_num_threads())

    def set_num_threads(self, num_threads: int) -> None:
        self.dynlib.accel_set_num_threads(num_threads)

    def get_version(self) -> None:
        return None


threadpoolctl.register(AccelController)
