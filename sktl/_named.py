"""Objects that a word is short for: those of a table, and those of users' own classes that bear a `name`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from sktl._validation import did_you_mean


def named_options(
    base: type | tuple[type, ...], table: Mapping[str, Callable[..., Any]]
) -> dict[str, Callable[..., Any]]:
    """Return what words mean: those of the table, and every subclass of `base`, or of several, by its own `name`.

    Of two classes of one name the one defined last counts, as where a cell of a notebook is run again. A word of the
    table keeps its meaning: a class of that name is an error where the word is used.
    """
    own: dict[str, Callable[..., Any]] = {}
    waiting = list(base) if isinstance(base, tuple) else [base]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        name = vars(cls).get("name")
        if isinstance(name, str) and name and not inspect.isabstract(cls):
            own.setdefault(name, cls)
    taken = {name: _refuse_taken(name, cls) for name, cls in own.items() if name in table}
    return {**table, **own, **taken}


def _refuse_taken(name: str, cls: Any) -> Callable[..., Any]:
    def refuse(**_: Any) -> Any:
        raise ValueError(
            f"{name!r} is a word of the library, and the name of your class {cls.__qualname__} too. Give the class "
            "another name, or pass an object."
        )

    return refuse


def get_named(
    value: Any, base: type, table: Mapping[str, Callable[..., Any]], parameter: str, also: str, unset: str = ""
) -> Any:
    """Return the object that a word is short for; objects come back as they are.

    Parameters
    ----------
    value : str or object
        What the user gave.
    base : type
        Of the objects.
    table : mapping of str to callable
        The words of the library.
    parameter : str
        Its name, for errors.
    also : str
        What else may be given, for errors.
    unset : str, default=""
        What may stand for none of them, for errors.

    Raises
    ------
    ValueError
        If the word is unknown.
    TypeError
        If it is neither a word nor such an object.
    """
    if isinstance(value, base):
        return value
    if isinstance(value, type) and issubclass(value, base):
        raise TypeError(f"{parameter} is the class {value.__name__}; pass an object of it, {value.__name__}().")
    options = named_options(base, table)
    if isinstance(value, str) and value in options:
        return options[value]()
    expected = f"{parameter} must be {unset}one of {', '.join(map(repr, options))}, or {also}"
    if not isinstance(value, str):
        raise TypeError(f"{expected}; got {value!r} of type {type(value).__name__}.")
    raise ValueError(f"{expected}; got {value!r}.{did_you_mean(value, options)}")


def make_named(
    name: str, base: type | tuple[type, ...], table: Mapping[str, Callable[..., Any]], what: str, **params: Any
) -> Any:
    """Return a new object of that name with parameters of its own.

    Raises
    ------
    ValueError
        If the name is unknown; `what` says of what.
    """
    options = named_options(base, table)
    if name not in options:
        raise ValueError(
            f"The {what} must be one of {', '.join(map(repr, options))}; got {name!r}."
            f"{did_you_mean(str(name), options)}"
        )
    return options[name](**params)
