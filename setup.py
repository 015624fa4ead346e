"""Builds accel._core (C++, pybind11) and the Cython modules. Metadata is in pyproject.toml.

A machine without a compiler still gets a working package (Numba or NumPy kernels) unless ACCEL_REQUIRE_NATIVE=1.
ACCEL_NO_NATIVE=1 does not try to build them. ACCEL_DEBUG=1 builds with asserts and the address and undefined-behaviour
sanitizers.
"""

import os
import platform
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("ACCEL_DEBUG") == "1"
REQUIRED = os.environ.get("ACCEL_REQUIRE_NATIVE") == "1"
SKIPPED = os.environ.get("ACCEL_NO_NATIVE") == "1"
# Never -ffast-math or -march: see docs/decisions/0002-compiler-flags.md.
FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra"]
if platform.machine() in ("x86_64", "AMD64"):
    FLAGS.append("-mno-mmx")  # GCC 12 moves halves of vectors through MMX registers and leaves the x87 stack full
# Half of the build is headers of pybind11, and no call is faster at -O3. Loops over arrays belong into csrc/kernels.
BINDING_FLAGS = ["-O1"]
if DEBUG:
    FLAGS = ["-O1", "-g", "-UNDEBUG", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", *FLAGS[2:]]


def extensions():
    from Cython.Build import cythonize
    from pybind11.setup_helpers import ParallelCompile, Pybind11Extension

    ParallelCompile("ACCEL_BUILD_JOBS", default=os.cpu_count() or 1).install()
    link = ["-fsanitize=address,undefined"] if DEBUG else ["-Wl,-s"] if sys.platform == "linux" else []
    core = Pybind11Extension(
        "accel._core",
        sorted(glob("csrc/**/*.cpp", recursive=True)),
        include_dirs=["csrc"],
        depends=sorted(glob("csrc/**/*.h", recursive=True)),
        cxx_std=20,
        extra_compile_args=FLAGS,
        extra_link_args=link,
    )
    cython = [
        Extension(
            path[:-4].replace(os.sep, "."),
            [path],
            extra_compile_args=["-O3", "-g0", "-ffp-contract=off"],
            extra_link_args=link,
        )
        for path in sorted(glob("accel/**/*.pyx", recursive=True))
    ]
    directives = {"language_level": 3, "boundscheck": DEBUG, "wraparound": False, "cdivision": True}
    return [core, *cythonize(cython, compiler_directives=directives, build_dir="build")]


class OptionalBuild(build_ext):
    """A failed build leaves the package without native kernels and says so, unless they are required."""

    def run(self):
        try:
            super().run()
        except Exception as why:
            if REQUIRED:
                raise
            print(f"accel: native kernels were not built ({why}); Numba or NumPy will be used", file=sys.stderr)

    def build_extensions(self):
        compile_one = self.compiler._compile  # setuptools has no flags of a single file

        def with_own_flags(obj, src, ext, cc_args, extra, pp_opts):
            own = BINDING_FLAGS if src.startswith(os.path.join("csrc", "bind", "")) else []
            compile_one(obj, src, ext, cc_args, [*extra, *own], pp_opts)

        self.compiler._compile = with_own_flags
        super().build_extensions()

    def copy_extensions_to_source(self):  # editable install: nothing to copy where nothing was built
        for extension in self.extensions:
            if not os.path.exists(os.path.join(self.build_lib, self.get_ext_filename(extension.name))):
                return
        super().copy_extensions_to_source()

    def get_outputs(self):
        return [path for path in super().get_outputs() if os.path.exists(path)]


if __name__ == "__main__":
    try:
        modules = [] if SKIPPED else extensions()
    except Exception:
        if REQUIRED:
            raise
        modules = []
    setup(ext_modules=modules, cmdclass={"build_ext": OptionalBuild})
