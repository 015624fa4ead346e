"""The errors accel raises. All are ValueError too, so code that catches ValueError keeps working."""

from __future__ import annotations


class AccelError(ValueError):
    """Base of every error about a model, a file or a recipe."""


class ModelError(AccelError):
    """A model cannot be read or does not make sense."""


class UnsupportedError(ModelError):
    """A model uses an operator, attribute or type that accel does not run."""


class FormatError(AccelError):
    """A file or byte stream is truncated, corrupt or of another kind."""


class SaveError(OSError, AccelError):
    """A file cannot be written. What was at the path before is untouched; errno and filename say why, as in OSError."""


class RecipeError(AccelError):
    """A compression recipe is invalid or cannot be met."""


class MissingExtraError(AccelError, ImportError):
    """An optional package is needed; the message says how to install it."""


def shown(value: object) -> str:
    """The start of repr(value), for messages."""
    try:
        return f"{value!r:.60}"
    except ValueError:  # Python writes no integers of more than 4300 digits
        return "<too many digits to be shown>"


class naming:
    """`with naming(where)` puts `where`, a node or a file, before the message of an error raised inside; one not of
    ours is a ModelError. A class, as every node is inside of several: a generator takes three times as long."""

    __slots__ = ("_where",)

    def __init__(self, where: object) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, why: BaseException | None, trace: object) -> None:
        if isinstance(why, AccelError):
            raise type(why)(f"{self._where}: {why}") from why
        if isinstance(why, (ValueError, TypeError)):
            raise ModelError(f"{self._where}: {why}") from why


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """The error for an optional package that is not installed."""
    return MissingExtraError(f"{purpose} needs the package {package!r}: pip install 'accel[{extra}]'")
