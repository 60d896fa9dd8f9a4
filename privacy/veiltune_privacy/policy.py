"""What a site lets a job do with its data. The file belongs to the site and not to the job.

A site reads its policy and compares it with the facts of a job before anything is trained. It fails
closed: a policy that is missing, unreadable or not understood in every key lets nothing through,
what a policy does not name may not leave, and a fact that is missing breaks every rule about it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from veiltune.config import Section
from veiltune.errors import UserError, Withdrawal


class PolicyError(UserError):
    """A policy file cannot be read or understood; nothing is let through."""


class PolicyRefusal(Withdrawal):
    """A job asks for more than the site's policy gives; `rules` names what it breaks."""

    def __init__(self, message: str, rules: tuple[str, ...]) -> None:
        super().__init__(message)
        self.rules = rules


class SitePolicy(Section):
    """A site's rules. Booleans are strict unless the file says otherwise."""

    dp_required: bool = True
    """Whether training must be differentially private for single examples, with noise that nobody
    can repeat."""
    max_epsilon: float | None = Field(default=None, gt=0)
    """The most epsilon that this site may spend in a job; required where `dp_required` is true."""
    max_delta: float | None = Field(default=None, gt=0, lt=1)
    """The largest delta; required where `dp_required` is true."""
    encryption_required: bool = True
    """Whether the server must be unable to read this site's updates."""
    min_sites: int = Field(ge=1)
    """The fewest sites a round must have, so that a sum hides a single one among them."""
    adapter_kinds: tuple[str, ...]
    """The encoders whose updates may leave: mlp, mlp3, lstm."""
    max_parameters: int = Field(ge=1)
    """The largest number of parameters that may leave in an update."""
    metrics: tuple[str, ...] = ()
    """The measurements that may leave, by name; none unless named."""

    @model_validator(mode="after")
    def _required_dp_is_bounded(self) -> "SitePolicy":
        missing = [key for key in ("max_epsilon", "max_delta") if getattr(self, key) is None]
        if self.dp_required and missing:
            raise ValueError(
                f"dp_required is true and needs {' and '.join(missing)}; name the most that a job "
                f"may spend"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """What a job will do at a site, as far as a policy asks."""

    site: str
    epsilon: float | None
    """What the site may spend over all rounds; None without differential privacy, and for noise
    from a seed, which protects nothing."""
    delta: float | None
    encrypted: bool
    """Whether the server is kept from reading this site's updates."""
    min_sites: int
    """The fewest sites with which a round of the job counts."""
    sites: int
    """The sites that take part."""
    adapter_kind: str
    parameters: int
    """The parameters in an update."""
    metrics: tuple[str, ...]
    """The measurements that leave the site."""


def load_policy(path: Path) -> SitePolicy:
    """The policy in the YAML file at `path`.

    Raises:
        PolicyError: it is missing, unreadable, no YAML, gives a key twice, or holds a key or a
            value that no rule knows; with every fault.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
        # Through JSON, so that values are checked strictly: true is no number and "5" no count.
        values = json.dumps(tree, default=str)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise PolicyError(
            f"expected a site's policy in {path}, which cannot be read ({reason}); mend the file, "
            f"for without it this site takes part in nothing"
        ) from error
    if not isinstance(tree, dict):
        raise PolicyError(f"a policy must be a mapping of rules, got none in {path}; write rules")
    try:
        return SitePolicy.model_validate_json(values, strict=True)
    except ValidationError as error:
        faults = "; ".join(_sentences(error))
        raise PolicyError(f"the policy {path} is not understood: {faults}") from error


def check_job(policy: SitePolicy, facts: JobFacts) -> None:
    """The job breaks no rule of the policy.

    Raises:
        PolicyRefusal: it breaks some; the message has a sentence for each, by the rule's name.
    """
    broken = _broken(policy, facts)
    if broken:
        reasons = "; ".join(f"{rule}: {reason}" for rule, reason in broken)
        raise PolicyRefusal(
            f"the policy of {facts.site} refuses this job by {reasons}; change the job, or ask "
            f"{facts.site} to change its policy",
            tuple(rule for rule, _ in broken),
        )


def _broken(policy: SitePolicy, facts: JobFacts) -> list[tuple[str, str]]:
    """The rules that the job breaks, and how. Comparisons are written so that NaN breaks them."""
    broken = []
    private = facts.epsilon is not None and facts.delta is not None
    if policy.dp_required and not private:
        broken.append(("dp_required", "training must be differentially private, but is not"))
    for rule, most, value in (
        ("max_epsilon", policy.max_epsilon, facts.epsilon),
        ("max_delta", policy.max_delta, facts.delta),
    ):
        if most is not None and value is not None and not 0 < value <= most:
            broken.append((rule, f"at most {most:g} is allowed, got {value:g}"))
    if policy.encryption_required and not facts.encrypted:
        broken.append(("encryption_required", "updates must be encrypted, but are not"))
    if not policy.min_sites <= facts.min_sites <= facts.sites:
        broken.append(
            (
                "min_sites",
                f"a round must have at least {policy.min_sites} sites, but the job counts one with "
                f"{facts.min_sites} of {facts.sites}",
            )
        )
    if facts.adapter_kind not in policy.adapter_kinds:
        broken.append(
            (
                "adapter_kinds",
                f"{_listed(policy.adapter_kinds)} may leave, got {facts.adapter_kind}",
            )
        )
    if not 0 < facts.parameters <= policy.max_parameters:
        broken.append(
            (
                "max_parameters",
                f"at most {policy.max_parameters} parameters may leave, got {facts.parameters}",
            )
        )
    if leaving := [metric for metric in facts.metrics if metric not in policy.metrics]:
        broken.append(("metrics", f"{_listed(policy.metrics)} may leave, got {', '.join(leaving)}"))
    return broken


def _listed(names: Sequence[str]) -> str:
    return f"only {', '.join(names)}" if names else "none"


# Reading


class _Loader(yaml.SafeLoader):
    """YAML without two surprises: a key given twice is an error, and 1e-5 is a number."""

    yaml_implicit_resolvers = {
        first: list(resolvers)
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [str(key.value) for key, _ in node.value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"it gives {', '.join(twice)} twice; keep one")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _sentences(error: ValidationError) -> list[str]:
    """Every fault, by the key it is about."""
    rules = list(SitePolicy.model_fields)
    said = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(step) for step in fault["loc"])
        match fault["type"]:
            case "extra_forbidden":
                near = get_close_matches(key, rules, n=1)
                hint = f"did you mean {near[0]}" if near else f"the rules are {', '.join(rules)}"
                said.append(f"{key} is no rule, {hint}")
            case "missing":
                said.append(f"{key} is required, add it")
            case "value_error":
                said.append(str(fault.get("ctx", {})["error"]))
            case _:
                wish = fault["msg"].removeprefix("Input should ")
                said.append(f"{key} must {wish}, got {fault['input']!r}")
    return said
