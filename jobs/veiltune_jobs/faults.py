"""Says in plain sentences what pydantic found wrong with a specification.

Pydantic reports each fault with its location and its own wording, and puts the branch of a union
into the location. Here a fault becomes a dotted path as the user wrote it, what was expected, what
came, and for an unknown key the nearest known one.
"""

import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_EXPECTED = {
    "bool_parsing": "be true or false",
    "bool_type": "be true or false",
    "dict_type": "be a mapping",
    "finite_number": "be a finite number",
    "float_parsing": "be a number",
    "float_type": "be a number",
    "greater_than": "be more than {gt}",
    "greater_than_equal": "be at least {ge}",
    "int_from_float": "be a whole number",
    "int_parsing": "be a whole number",
    "int_type": "be a whole number",
    "invalid_key": "have keys that are text",
    "less_than": "be less than {lt}",
    "less_than_equal": "be at most {le}",
    "list_type": "be a list",
    "model_attributes_type": "be a section with keys of its own",
    "model_type": "be a section with keys of its own",
    "path_type": "be a path",
    "string_pattern_mismatch": "match the pattern {pattern}",
    "string_too_long": "have at most {max_length} characters",
    "string_too_short": "have at least {min_length} characters",
    "string_type": "be text",
    "too_long": "hold at most {max_length} values",
    "too_short": "hold at least {min_length} values",
    "tuple_type": "be a list",
}
"""What pydantic's error types ask for; a type that is not here keeps pydantic's own wording."""


def sentences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Every fault in `error`, which came from validating `model`, as one sentence each."""
    said: list[str] = []
    unmet: dict[tuple[str, str], list[str]] = {}
    for fault in error.errors(include_url=False):
        place = _locate(model, fault["loc"])
        match fault["type"]:
            case "extra_forbidden":
                said.append(_unknown_key(model, fault["loc"]))
            case "missing":
                said.append(f"{place.path} is required and was not given; add it")
            case "value_error" | "assertion_error":
                reason = str(fault.get("ctx", {})["error"])
                said.append(f"{place.path}: {reason}" if place.path else reason)
            case _:
                # Each branch of a union asks for something else of one and the same value.
                key = place.path or "the specification", shown(fault["input"])
                wishes = unmet.setdefault(key, [])
                wishes += [wish for wish in [_expected(fault, place)] if wish not in wishes]
    refused = [f"{path} must {' or '.join(w)}, got {got}" for (path, got), w in unmet.items()]
    return said + refused


def shown(value: object) -> str:
    """`value` as YAML spells it, shortened when it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def _expected(fault: ErrorDetails, place: "_Place") -> str:
    context = fault.get("ctx", {})
    match fault["type"]:
        case "literal_error" | "enum":
            choices = str(context["expected"])
            wish = f"be one of {choices}" if " or " in choices else f"be {choices}"
        case "union_tag_not_found":
            wish = f"have the key {context['discriminator']}"
        case "union_tag_invalid":
            wish = f"have {context['discriminator']} set to one of {context['expected_tags']}"
        case kind if kind in _EXPECTED:
            wish = _EXPECTED[kind].format(**context)
        case _:
            wish = fault["msg"].removeprefix("Input should ")
    return f"{wish} or be null" if place.nullable else wish


# Where a fault is


@dataclass(frozen=True)
class _Place:
    """A location in a specification, in the user's terms."""

    path: str
    """Keys joined by dots, `labels[1]` for an item of a list."""
    types: list[Any]
    """What the value may be, narrowed to the branch pydantic chose where it chose one."""
    variants: list[Any]
    """The same before narrowing."""
    nullable: bool


def _locate(model: type[BaseModel], location: tuple[int | str, ...]) -> _Place:
    path = ""
    types: list[Any] = [model]
    variants = types
    nullable = False
    for step in location:
        if len(types) > 1:  # the next step names a branch of the union, which nobody typed
            types = [branch for branch in types if step in _branch_names(branch)]
            continue
        if step == "[key]":
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        annotation = _member(types[0], step) if types else None
        types = variants = _alternatives(annotation)
        nullable = NoneType in get_args(annotation)
    return _Place(path, types, variants, nullable)


def _alternatives(annotation: Any) -> list[Any]:
    """The types a value may have, None aside."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for branch in get_args(annotation) for kind in _alternatives(branch)]
    return [] if annotation in (None, NoneType) else [annotation]


def _member(kind: Any, step: int | str) -> Any:
    """The annotation of the member `step` of a section, a mapping or a list."""
    if _is_section(kind):
        field = kind.model_fields.get(step)
        return field.annotation if field else None
    arguments = get_args(kind)
    if not arguments or get_origin(kind) is Literal:
        return None
    return arguments[-1] if isinstance(step, str) else arguments[0]


def _branch_names(kind: Any) -> set[Any]:
    """What pydantic may call `kind` as a branch of a union: its class, or a tag it carries."""
    if not _is_section(kind):
        return set()
    return {kind.__name__, *(tag for _, tags in _tags(kind) for tag in tags)}


def _tags(section: type[BaseModel]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, field in section.model_fields.items():
        if get_origin(field.annotation) is Literal:
            yield name, get_args(field.annotation)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


# What an unknown key may have meant


def _unknown_key(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    place = _locate(model, location[:-1])
    key = str(location[-1])
    path = f"{place.path}.{key}" if place.path else key
    here = list(place.types[0].model_fields)
    for name, tags in _tags_of_variants_with(key, place):
        choice = " or ".join(repr(tag) for tag in tags)
        return f"{path} is known only where {place.path}.{name} is {choice}; remove it or set that"
    if meant := _meant(key, place.path, here, list(known_paths(model))):
        return f"{path} is not a known key; did you mean {' or '.join(meant)}?"
    return f"{path} is not a known key; {place.path or 'a specification'} knows {', '.join(here)}"


def _tags_of_variants_with(key: str, place: _Place) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The discriminating key, and its values under which the section would know `key`."""
    others = [kind for kind in place.variants if _is_section(kind) and kind not in place.types]
    for section in others:
        if key in section.model_fields:
            yield from _tags(section)


def _meant(key: str, parent: str, here: list[str], everywhere: list[str]) -> list[str]:
    """Paths `key` may stand for: the same key elsewhere, a near one here, a near one elsewhere."""
    elsewhere = [path for path in everywhere if path.rpartition(".")[2] == key]
    if elsewhere:
        return elsewhere
    if near := get_close_matches(key, here, n=1):
        return [f"{parent}.{near[0]}" if parent else near[0]]
    leaves = {path.rpartition(".")[2]: path for path in everywhere}
    return [leaves[leaf] for leaf in get_close_matches(key, leaves, n=1)]


def known_paths(kind: Any, parent: str = "", above: tuple[Any, ...] = ()) -> Iterator[str]:
    """Every dotted path that a specification may hold, sections before their keys."""
    for name, field in kind.model_fields.items():
        path = f"{parent}.{name}" if parent else name
        yield path
        for branch in _alternatives(field.annotation):
            if _is_section(branch) and branch not in (kind, *above):
                yield from known_paths(branch, path, (kind, *above))
