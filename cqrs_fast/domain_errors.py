"""DomainError: the application says no. And the errors that a retry cannot change."""

from __future__ import annotations

from typing import Any, ClassVar

from cqrs_fast.base.arguments import exception_classes

# The same call fails the same way again, whatever the state of its backend.
DETERMINISTIC: tuple[type[Exception], ...] = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    NameError,
    AssertionError,
    ArithmeticError,
    NotImplementedError,
    PermissionError,
)

_LOWEST, _HIGHEST = 400, 599


class DomainError(Exception):
    """The base of errors that are answers: not found, out of stock, not yours.

    The dependency worked and the application said no. So a DomainError is never
    retried, is a success for every circuit breaker, ends a dispatch in the outcome
    `domain`, and is logged at INFO without a traceback. Classes that cannot inherit
    from it are named in `domain_errors=` of a bus.

    Attributes:
        status: the HTTP status of the answer, an int from 400 to 599.
        code: a stable name for programs. By default the name of the class in snake
            case, without a final `Error`: `OutOfStockError` has "out_of_stock". A
            subclass inherits one that was set.

    Defining a subclass with another `status` or an empty `code` raises TypeError or
    ValueError.
    """

    status: ClassVar[int] = 409
    code: ClassVar[str] = "domain"
    _names_itself: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "code" in vars(cls):
            cls._names_itself = False
        elif cls._names_itself:
            cls.code = code_of(cls)
        if not isinstance(cls.code, str) or not cls.code:
            raise TypeError(f"{cls.__name__}.code must be a string, got {cls.code!r}")
        if not isinstance(cls.status, int) or isinstance(cls.status, bool):
            raise TypeError(f"{cls.__name__}.status must be an int, got {cls.status!r}")
        if not _LOWEST <= cls.status <= _HIGHEST:
            raise ValueError(
                f"{cls.__name__}.status must be {_LOWEST} to {_HIGHEST}, got "
                f"{cls.status}"
            )

    def public(self) -> dict[str, Any]:
        """Return what a client may see: `code` and `message`, the text of this error.

        Override it to add more; what it returns must be JSON.
        """
        return {"code": self.code, "message": str(self)}


def domain_classes(given: object) -> tuple[type[Exception], ...]:
    """Return what is given as `domain_errors=`, as a tuple of classes."""
    classes = exception_classes("domain_errors", given)
    if Exception in classes:
        raise ValueError(
            "domain_errors must not have Exception itself: no failure would be retried "
            "or open a circuit; name the classes of the application"
        )
    return classes


def code_of(cls: type) -> str:
    """Return the name of a class in snake case, without a final `Error`."""
    name = cls.__name__.removesuffix("Error") or cls.__name__
    code = ""
    for index, letter in enumerate(name):
        before, after = name[index - 1 : index], name[index + 1 : index + 2]
        starts_word = not before.isupper() or after.islower()
        if letter.isupper() and before not in ("", "_") and starts_word:
            code += "_"
        code += letter.lower()
    return code
