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
# Bindings are compiled as two units, since pybind11 costs each five seconds, and with -O1, as no call gains from -O3.
# Loops over arrays belong into csrc/kernels.
BINDINGS = os.path.join("csrc", "bind", "")
BINDING_FLAGS = ["-O1"]
BINDING_UNITS = 2
# What takes longest to compile, begun first so that no core is left waiting at the end.
SLOWEST = ["tile", "spmm", "binary", "winograd", "fwht", "planes", "circulant", "depthwise"]
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


def compile_order(path):
    name = os.path.basename(path)[:-4]
    return (SLOWEST.index(name) if name in SLOWEST else len(SLOWEST), path)


class OptionalBuild(build_ext):
    """A failed build leaves the package without native kernels and says so, unless they are required."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True  # the Cython modules beside the core

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
            own = BINDING_FLAGS if src.startswith(self.build_temp) else []
            compile_one(obj, src, ext, cc_args, [*extra, *own], pp_opts)

        self.compiler._compile = with_own_flags
        super().build_extensions()

    def build_extension(self, ext):
        listed = ext.sources  # what a source distribution packs
        bindings = [path for path in listed if path.startswith(BINDINGS)]
        if bindings:
            kernels = sorted({*listed} - {*bindings}, key=compile_order)
            ext.sources = [*self.binding_units(bindings), *kernels]
        try:
            super().build_extension(ext)
        finally:
            ext.sources = listed

    def binding_units(self, bindings):
        """Files that include `bindings`, the longest dealt first, so that the units are about equal."""
        os.makedirs(self.build_temp, exist_ok=True)
        dealt = sorted(bindings, key=os.path.getsize, reverse=True)
        for unit in range(BINDING_UNITS):
            path = os.path.join(self.build_temp, f"bindings{unit}.cpp")
            with open(path, "w") as file:
                file.writelines(f'#include "{os.path.abspath(source)}"\n' for source in dealt[unit::BINDING_UNITS])
            yield path

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
