"""An .accel file whose tensors are read one at a time, when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from accel.formats.codings import Scratch
from accel.formats.container import Tensor, decode_tensor, read_contents
from accel.formats.files import open_regular
from accel.formats.limits import DEFAULT, Limits
from accel.kernels._file_part import FilePart


class OpenFile(Mapping[str, Tensor]):
    """The tensors of an .accel file by name; each access reads and decodes that one alone.

    Only the header is read at first. The digest of the whole file is not checked, for which all of it would have to
    be read (`accel.formats.container.verify` does): damage is found by the checksums of the header and of each
    tensor. Not for several threads at once.

    Parameters
    ----------
    path : of the file.
    limits : what it may ask for.

    Raises
    ------
    OSError      the file cannot be opened or read.
    FormatError  it is not an .accel file, newer than this program, damaged, or asks for more than `limits`; also when
        a tensor is asked for.

    Examples
    --------
    >>> with OpenFile("model.accel") as tensors:     # doctest: +SKIP
    ...     weight = tensors["conv1.weight"]
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits = DEFAULT) -> None:
        self._limits, self._scratch = limits, Scratch()
        with ExitStack() as stack:
            self._file, size = stack.enter_context(open_regular(path, limits))
            whole = FilePart(self._file.fileno(), 0, size)
            self.contents, at = read_contents(whole, limits, self._scratch)
            self._close = stack.pop_all()
        self._entries = {}
        for entry in self.contents.tensors:
            self._entries[entry.name] = (at, entry)
            at += entry.stored

    @property
    def header(self) -> dict[str, Any]:
        """What the caller of `container.write` stored beside the tensors."""
        return self.contents.header

    def __getitem__(self, name: str) -> Tensor:
        at, entry = self._entries[name]
        data = FilePart(self._file.fileno(), at, entry.stored)
        return decode_tensor(entry, data, self._limits, self._scratch)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def close(self) -> None:
        """Lets go of the file. Tensors that were read stay."""
        self._close.close()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
