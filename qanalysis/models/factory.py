"""What does `package.module:factory` make? A function of the user's own Python file, found and called.

Modules are looked for in the current folder first, as `python -m` does, also while the factory runs; afterwards
`sys.path` is as it was. Importing a module runs it, so a text must come from the person at the machine, never out of
a file or a link of somebody else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from qanalysis.notation import quote

_RULE = "give package.module:factory, such as mymodels.small:make for make() in mymodels/small.py"


def call_factory(text: str) -> Any:
    """What the factory returns.

    Raises ValueError where the text names none, its module can not be imported, has no such function, or the function
    raises.

    >>> call_factory("collections:Counter")
    Counter()
    """
    module_name, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), *name.split(".")]):
        raise ValueError(f"{quote(text)} names no factory; {_RULE}")
    with _searching_here(), redirect_stdout(sys.stderr):  # a document may stand on standard output
        factory = _find_factory(_import_module(module_name, text), name, text)
        try:
            return factory()
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"the factory {quote(text)}, called without arguments, raises {describe_error(error)}"
            ) from error


def describe_error(error: BaseException) -> str:
    r"""An exception on one line of at most 300 characters, its type first.

    >>> describe_error(RuntimeError("no\nroom"))
    'RuntimeError: no room'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")[:300]


@contextmanager
def _searching_here() -> Iterator[None]:
    here = str(Path.cwd())
    importlib.invalidate_caches()  # a file may have been written since the folder was last read
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # the module may have taken it out
            sys.path.remove(here)


def _import_module(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"{quote(text)}: no module {quote(error.name)} in {quote(str(Path.cwd()))} or among the "
                f"installed packages; {_RULE}"
            ) from error
        raise ValueError(
            f"{quote(text)}: module {quote(name)} can not be imported, since its import of {quote(error.name)} fails "
            f"({describe_error(error)}); install what it needs"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module may raise anything while it runs
        raise ValueError(
            f"{quote(text)}: module {quote(name)} can not be imported, since running it raises "
            f"{describe_error(error)}; make `import {name}` work first"
        ) from error


def _find_factory(module: ModuleType, name: str, text: str) -> Callable[[], Any]:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(
                f"{quote(text)}: module {quote(module.__name__)} has no {quote(name)}{_name_functions(module)}"
            )
        found = getattr(found, part)
    if callable(found):
        factory: Callable[[], Any] = found
        return factory
    raise ValueError(
        f"{quote(text)} is a value of type {quote(type(found).__name__)}; name a function that works without "
        "arguments and returns what is needed"
    )


def _name_functions(module: ModuleType) -> str:
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return f"; of its own it has {', '.join(own[:8])}" if own else "; it defines no function"
