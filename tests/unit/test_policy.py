"""A site's policy refuses what it does not allow, and everything where it cannot be read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from veiltune.errors import RunError, UserError
from veiltune_privacy.policy import (
    JobFacts,
    PolicyError,
    PolicyRefusal,
    SitePolicy,
    check_job,
    load_policy,
)

POLICY = SitePolicy(
    max_epsilon=8.0,
    max_delta=1e-5,
    min_sites=3,
    adapter_kinds=("mlp", "lstm"),
    max_parameters=100_000,
    metrics=("global_loss",),
)
FACTS = JobFacts(
    site="bank-a",
    epsilon=8.0,
    delta=1e-5,
    encrypted=True,
    min_sites=3,
    sites=3,
    adapter_kind="mlp",
    parameters=100_000,
    metrics=("global_loss",),
)
PAGE = Path(__file__).parents[2] / "docs" / "site-policy.md"


def test_a_job_at_every_limit_is_let_through() -> None:
    check_job(POLICY, FACTS)


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"epsilon": 8.1}, ["max_epsilon"]),
        ({"epsilon": float("nan")}, ["max_epsilon"]),
        ({"epsilon": float("inf")}, ["max_epsilon"]),
        ({"epsilon": 0.0}, ["max_epsilon"]),
        ({"delta": 2e-5}, ["max_delta"]),
        ({"epsilon": None}, ["dp_required"]),
        ({"delta": None}, ["dp_required"]),
        ({"epsilon": None, "delta": None}, ["dp_required"]),
        ({"encrypted": False}, ["encryption_required"]),
        ({"min_sites": 2}, ["min_sites"]),
        ({"sites": 2}, ["min_sites"]),
        ({"adapter_kind": "mlp3"}, ["adapter_kinds"]),
        ({"parameters": 100_001}, ["max_parameters"]),
        ({"parameters": 0}, ["max_parameters"]),
        ({"metrics": ("global_loss", "train_loss")}, ["metrics"]),
        ({"epsilon": 9.0, "encrypted": False}, ["max_epsilon", "encryption_required"]),
    ],
)
def test_whatever_is_broken_is_named(change: dict[str, Any], rules: list[str]) -> None:
    with pytest.raises(PolicyRefusal, match="the policy of bank-a refuses this job") as caught:
        check_job(POLICY, replace(FACTS, **change))
    assert list(caught.value.rules) == rules
    assert all(f"{rule}: " in str(caught.value) for rule in rules)
    assert isinstance(caught.value, RunError)


def test_every_rule_can_be_broken_at_once() -> None:
    facts = JobFacts(
        site="bank-a",
        epsilon=None,
        delta=1.0,
        encrypted=False,
        min_sites=1,
        sites=1,
        adapter_kind="other",
        parameters=10**9,
        metrics=("texts",),
    )
    with pytest.raises(PolicyRefusal) as caught:
        check_job(POLICY, facts)
    assert set(caught.value.rules) == set(SitePolicy.model_fields) - {"max_epsilon"}


def test_no_metric_may_leave_unless_it_is_named() -> None:
    silent = POLICY.model_copy(update={"metrics": ()})
    check_job(silent, replace(FACTS, metrics=()))
    with pytest.raises(PolicyRefusal, match="metrics: none may leave, got global_loss"):
        check_job(silent, FACTS)


def test_a_policy_may_do_without_privacy_only_by_saying_so() -> None:
    open_policy = SitePolicy(
        dp_required=False,
        encryption_required=False,
        min_sites=1,
        adapter_kinds=("mlp",),
        max_parameters=1000,
    )
    plain = replace(FACTS, epsilon=None, delta=None, encrypted=False, parameters=9, metrics=())
    check_job(open_policy, plain)
    bounded = open_policy.model_copy(update={"max_epsilon": 2.0})
    check_job(bounded, plain)
    with pytest.raises(PolicyRefusal, match="max_epsilon: at most 2 is allowed, got 8"):
        check_job(bounded, replace(plain, epsilon=8.0, delta=1e-5))


# Files


def write(folder: Path, content: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(content)
    return path


def test_a_policy_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path, yaml.safe_dump(POLICY.model_dump(mode="json")))
    assert load_policy(path) == POLICY


def test_a_small_number_may_be_written_as_people_do(tmp_path: Path) -> None:
    text = "max_epsilon: 8\nmax_delta: 1e-5\nmin_sites: 3\n"
    path = write(tmp_path, text + "adapter_kinds: [mlp, lstm]\nmax_parameters: 100000\n")
    policy = load_policy(path)
    assert (policy.max_epsilon, policy.max_delta) == (8.0, 1e-5)
    assert policy.dp_required and policy.encryption_required and policy.metrics == ()


def test_the_page_shows_a_policy_that_loads(tmp_path: Path) -> None:
    (example,) = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1:]
    policy = load_policy(write(tmp_path, example.split("```")[0]))
    assert set(policy.model_fields_set) == set(SitePolicy.model_fields)
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{rule}`" in page for rule in SitePolicy.model_fields)


BASE = "max_epsilon: 8\nmax_delta: 1e-5\nmin_sites: 3\nadapter_kinds: [mlp]\nmax_parameters: 9\n"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (BASE + "max_epsilom: 80\n", "max_epsilom is no rule, did you mean max_epsilon"),
        (BASE + "colour: red\n", "colour is no rule, the rules are dp_required, max_epsilon"),
        (BASE + "min_sites: 1\n", "gives min_sites twice"),
        (BASE.replace("max_epsilon: 8\n", ""), "needs max_epsilon; name the most"),
        (BASE.replace("min_sites: 3\n", ""), "min_sites is required, add it"),
        (BASE.replace("adapter_kinds: [mlp]\n", ""), "adapter_kinds is required, add it"),
        (BASE.replace("max_epsilon: 8", "max_epsilon: true"), "max_epsilon must be a valid number"),
        (BASE.replace("max_epsilon: 8", "max_epsilon: '8'"), "max_epsilon must be a valid number"),
        (BASE.replace("max_epsilon: 8", "max_epsilon: .inf"), "max_epsilon must be"),
        (BASE.replace("max_epsilon: 8", "max_epsilon: .nan"), "max_epsilon must be"),
        (BASE.replace("max_epsilon: 8", "max_epsilon: 0"), "must be greater than 0, got 0"),
        (BASE.replace("max_delta: 1e-5", "max_delta: 1.0"), "must be less than 1, got 1.0"),
        (BASE.replace("min_sites: 3", "min_sites: 2.5"), "min_sites must be"),
        (BASE.replace("[mlp]", "mlp"), "adapter_kinds must be"),
        (BASE + "encryption_required: perhaps\n", "encryption_required must be"),
        ("", "a policy must be a mapping of rules"),
        ("- max_epsilon\n", "a policy must be a mapping of rules"),
        ("max_epsilon: [8\n", "cannot be read"),
        ("max_epsilon: !!python/object:os.system 8\n", "cannot be read"),
        ("a: &a [*a]\n", "cannot be read"),
    ],
)
def test_a_policy_that_is_not_understood_lets_nothing_through(
    tmp_path: Path, content: str, fault: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(PolicyError, match=fault) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, UserError)


def test_every_fault_is_said(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(write(tmp_path, "min_sites: 0\nmax_parameters: 0\n"))
    for key in ("min_sites", "max_parameters", "adapter_kinds"):
        assert key in str(caught.value)


def test_a_policy_that_cannot_be_read_lets_nothing_through(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"min_sites: 3 # \xe9\xe9\n")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(PolicyError, match="cannot be read .*this site takes part in nothing"):
            load_policy(path)
