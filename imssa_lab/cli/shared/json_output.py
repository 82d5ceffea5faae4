"""`--json`, the same for every verb with results: one JSON value on stdout, and what is for people on stderr."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Verb = ParamSpec("_Verb")
_JsonOption = Annotated[bool, typer.Option("--json", help="Results as one JSON value on stdout, in SI units.")]
_asked: ContextVar[bool] = ContextVar("json", default=False)


def takes_json(verb: Callable[_Verb, None]) -> Callable[_Verb, None]:
    """The verb with the option --json; what it says to `answer` is printed then, its tables go to stderr."""

    @wraps(verb)
    def run(*given: _Verb.args, **named: _Verb.kwargs) -> None:
        before = _asked.set(bool(named.pop("json", False)))
        try:
            verb(*given, **named)
        finally:
            _asked.reset(before)

    own = inspect.signature(verb, eval_str=True)
    option = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_JsonOption)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), option])  # type: ignore[attr-defined]
    return run


def json_asked() -> bool:
    """Whether the verb under way was given --json."""
    return _asked.get()


def answer(facts: Any) -> None:
    """Print the results of a verb, once, where --json asked for them."""
    if json_asked():
        typer.echo(json_text(facts))


def json_text(facts: Any) -> str:
    """JSON text, ASCII, of dataclasses, pydantic models, paths, times and NumPy values; NaN and infinity are null.

    Raises:
        AttributeError: something that is none of these.
    """
    from pydantic_core import to_jsonable_python

    return json.dumps(to_jsonable_python(facts, inf_nan_mode="null", fallback=_plain), indent=1, allow_nan=False)


def _plain(value: np.generic | NDArray[Any]) -> Any:
    return value.tolist()
