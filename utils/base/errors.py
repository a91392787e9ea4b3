"""Errors that a user can cause."""


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, what was expected, what to do."""


class Busy(InputError):
    """Another process is doing what this one was asked to do."""


class NoRoom(InputError):
    """The disk is too small for what is to be written."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice: Python's own, or one of torch's."""
    words = ("out of memory", "allocate memory", "calculation overflowed")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def one_line(error: Exception, path: object) -> str:
    """What an InputError, or an error of the system while `path` was worked on, says to the user."""
    return f"{error.filename or path}: {error.strerror}" if getattr(error, "strerror", None) else str(error)
