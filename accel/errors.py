"""The errors accel raises. All are ValueError too, so code that catches ValueError keeps working."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


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


@contextlib.contextmanager
def naming(where: object) -> Iterator[None]:
    """Put `where`, a node or a file, before the message of an error raised inside; one not of ours is a ModelError."""
    try:
        yield
    except AccelError as why:
        raise type(why)(f"{where}: {why}") from why
    except (ValueError, TypeError) as why:
        raise ModelError(f"{where}: {why}") from why


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """The error for an optional package that is not installed."""
    return MissingExtraError(f"{purpose} needs the package {package!r}: pip install 'accel[{extra}]'")
