"""A job's YAML: read, overridden, checked, written out again, hashed.

The sections themselves live beside the code they configure; nothing here knows any of them.
Everything wrong with a specification is reported in one `SpecificationError`, a sentence a fault.
"""

import copy
import hashlib
import json
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from veiltune.errors import SpecificationError
from veiltune_jobs.faults import sentences, shown

Tree = dict[str, Any]
S = TypeVar("S", bound=BaseModel)


def load(model: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """The specification in `path` under `overrides`, as a checked `model`.

    Raises: SpecificationError, with the faults of the overrides and of the file together.
    """
    tree, faults = _overridden(load_yaml(path), overrides)
    try:
        specification = validate(model, tree)
    except SpecificationError as error:
        raise SpecificationError(faults + error.faults) from error
    if faults:
        raise SpecificationError(faults)
    return specification


def load_yaml(path: Path) -> Tree:
    """The mapping that the file holds, as plain YAML values.

    Raises: SpecificationError when the file is missing, unreadable, not UTF-8, not YAML, not a
    mapping, or gives a key twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        fault = f"there is no specification {path}; give the path of a YAML file"
        raise SpecificationError([fault]) from None
    except OSError as error:
        fault = f"cannot read the specification {path} ({error.strerror}); give a readable file"
        raise SpecificationError([fault]) from error
    except UnicodeDecodeError as error:
        fault = f"{path} must be UTF-8 text, got {error.reason} at byte {error.start}; convert it"
        raise SpecificationError([fault]) from error
    try:
        tree = _parse(text)
    except SpecificationError as error:
        raise SpecificationError([f"{path} {fault}" for fault in error.faults]) from error
    if not isinstance(tree, dict):
        fault = f"{path} must hold a mapping of sections, got {shown(tree)}; write `section:` lines"
        raise SpecificationError([fault])
    return tree


def apply_overrides(tree: Tree, overrides: Sequence[str]) -> Tree:
    """A copy of `tree` with each `section.key=value` set, its value read as YAML; the last wins.

    Missing sections on the way are made. Raises: SpecificationError with every bad override.
    """
    overridden, faults = _overridden(tree, overrides)
    if faults:
        raise SpecificationError(faults)
    return overridden


def validate(model: type[S], tree: Tree) -> S:
    """`tree` as a checked `model`. Raises: SpecificationError with every fault.

    Values pass through JSON to be checked strictly and yet become paths, tuples and enumerations:
    `true` is no number and `"5"` no count.
    """
    try:
        return model.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise SpecificationError(sentences(error, model)) from error


def dump_yaml(model: BaseModel) -> str:
    """YAML with every default written out, in the order of the fields; reads back as equal."""
    return yaml.dump(
        model.model_dump(mode="json"),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )


def specification_hash(model: BaseModel, leave_out: Sequence[str] = ("runtime",)) -> str:
    """SHA-256, in hexadecimal, of everything but the sections that cannot change a result.

    It is taken over JSON with sorted keys, so the order of fields does not matter.
    """
    tree = model.model_dump(mode="json", exclude=set(leave_out))
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


# Overrides


def _overridden(tree: Tree, overrides: Sequence[str]) -> tuple[Tree, list[str]]:
    """`tree` under the overrides that are well formed, and a sentence for each that is not."""
    overridden = copy.deepcopy(tree)
    faults: list[str] = []
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not equals or not text.strip() or not all(keys):
            faults.append(
                f"an override must read section.key=value, got {override!r}; "
                "write null for no value and '\"\"' for empty text"
            )
            continue
        try:
            value = _parse(text)
        except SpecificationError as error:
            faults += [
                f"the value of the override {override!r} {fault}; "
                "put quotes around text with special characters"
                for fault in error.faults
            ]
            continue
        if blocked := set_key(overridden, keys, value):
            faults.append(f"cannot set {path.strip()}: {blocked} is not a section with keys")
    return overridden, faults


def set_key(tree: Tree, keys: Sequence[str], value: object) -> str | None:
    """Sets the value in place; returns the path that is in the way, if one is."""
    section = tree
    for depth, key in enumerate(keys[:-1], start=1):
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
        if not isinstance(section, dict):
            return ".".join(keys[:depth])
    section[keys[-1]] = value
    return None


# YAML, without the surprises of its version 1.1


def _parse(text: str) -> Any:
    """The value that the text holds. Raises: SpecificationError, its faults without a subject."""
    try:
        loader = _Loader(text)
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise SpecificationError([f"is not valid YAML: {error.problem}{line}"]) from error
    except (yaml.YAMLError, ValueError) as error:  # a character or a tagged value out of place
        raise SpecificationError([f"is not valid YAML: {str(error).splitlines()[0]}"]) from error
    except RecursionError as error:
        raise SpecificationError(["is nested too deeply; use fewer levels"]) from error
    if loader.repeated:
        raise SpecificationError(loader.repeated)
    return value


class _Loader(yaml.SafeLoader):
    """Reads plain values as YAML 1.2 does, and notes every key given twice.

    YAML 1.1 reads `no` as false, `12:30` as 750 and `1e-4` as text, and lets a later duplicate of a
    key win in silence; a specification must mean what it seems to say.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            name = f"{key.value}"
            if name in lines:
                self.repeated.append(
                    f"gives the key {name} in line {lines[name]} and again in line {line}; keep one"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes plain values so that YAML 1.1 and 1.2 read them alike."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # Unicode's own line breaks are folded away unless they are escaped, as in double quotes.
        style = '"' if re.search("[\x85\u2028\u2029]", data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)

_NUMBER = r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+"
_NO_NUMBER = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9]\d*)", list("-+0123456789")),
    ("float", f"{_NUMBER}|{_NO_NUMBER}", list("-+.0123456789")),
):
    for _reader in (_Loader, _Dumper):
        _reader.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_form})$", re.ASCII), _first
        )
