"""How a job's training is made private: delta, noise, the site's ledger, the gradient rule."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

from veiltune.data import Example
from veiltune.errors import SpecificationError
from veiltune.federation.site_state import read_rows
from veiltune.randomness import derive_seed
from veiltune.records import RunFolder
from veiltune.training import GradientRule, LocalTrainer, PlainGradient
from veiltune_jobs.job import JobSpec
from veiltune_jobs.tracking import measurements_sent
from veiltune_privacy.dp.accounting import (
    Release,
    Spent,
    calibrate,
    default_delta,
    prv_epsilon,
)
from veiltune_privacy.dp.clipping import DpError
from veiltune_privacy.dp.ledger import Ledger, LedgerError
from veiltune_privacy.dp.rule import Charge, PrivateGradient
from veiltune_privacy.policy import JobFacts, check_job, load_policy


@dataclass(frozen=True)
class Budget:
    """What one site may spend in a job, and how every step of it is noised."""

    epsilon: float
    delta: float
    round: Release
    """One round of training."""
    rounds: int

    def after(self, rounds: int) -> Release:
        """So many rounds together."""
        one = self.round
        return Release(one.noise_multiplier, one.sample_rate, rounds * one.steps)


def budget(spec: JobSpec, examples: int) -> Budget | None:
    """The budget of a site with so many examples; None without differential privacy.

    The noise is the least with which all rounds of the job together spend `epsilon`.

    Raises:
        SpecificationError: the site's examples are too few, or no noise can meet the target.
    """
    config = spec.privacy.example_level
    if config.epsilon is None:
        return None
    batch = spec.training.batch_size
    if batch > examples:
        raise SpecificationError(
            [
                f"training.batch_size must be at most a site's number of examples, got {batch} "
                f"for a site with {examples}; lower it, since examples are sampled at the rate of "
                f"one over the other"
            ]
        )
    delta = default_delta(examples) if config.delta is None else config.delta
    if examples < 2 or delta >= 1 / examples:
        raise SpecificationError(
            [
                f"privacy.example_level.delta must be below one over a site's examples, got "
                f"{delta:g} for {examples}; lower it, or add data where there is one example"
            ]
        )
    rate, steps = batch / examples, spec.training.steps(examples)
    noise = calibrate(
        epsilon=config.epsilon,
        delta=delta,
        sample_rate=rate,
        steps=steps * spec.federation.rounds,
    )
    return Budget(config.epsilon, delta, Release(noise, rate, steps), spec.federation.rounds)


def make_rule(spec: JobSpec, name: str, allowed: Budget | None, charge: Charge) -> GradientRule:
    """The gradient rule of the site `name`; `charge` is asked before each round."""
    if allowed is None:
        return PlainGradient()
    config = spec.privacy.example_level
    return PrivateGradient(
        noise_multiplier=allowed.round.noise_multiplier,
        clip_norm=config.clip_norm,
        space=config.space,
        noise=config.noise,
        seed=derive_seed(spec.seed, "noise", name) if seeded(spec) else None,
        batch_size=spec.training.batch_size,
        charge=charge,
    )


def site_charge(
    spec: JobSpec,
    folder: RunFolder,
    name: str,
    rows: Sequence[Example],
    allowed: Budget | None,
) -> Charge:
    """What charges the ledger of the site `name` for a round of this run.

    The ledger is opened when the first round is charged, and has to show at least what the site
    has trained in this run; otherwise the site trains no further.
    """
    job = folder.path.name

    def charge(round_index: int, examples: int, steps: int) -> float:
        assert allowed is not None, "a job without differential privacy charges nothing"
        if (examples, steps) != (len(rows), allowed.round.steps):
            raise LedgerError(
                f"a round of {allowed.round.steps} steps over {len(rows)} examples is charged, "
                f"got one of {steps} steps over {examples}; nothing was trained"
            )
        path = ledger_path(spec, folder, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(
                f"a ledger is kept in {path.parent}, which cannot be made ({error.strerror}); set "
                f"privacy.example_level.ledger to a folder of the site's own"
            ) from error
        ledger = Ledger(path, dataset_sha256=examples_sha256(rows), examples=examples)
        trained = {row["round"] for row in read_rows(folder.site(name)) if row["steps"]}
        ledger.expect_at_least(len(trained), job)
        ledger.charge(
            job=job,
            round_index=round_index,
            release=allowed.round,
            mechanism=f"subsampled Gaussian, {spec.privacy.example_level.space} space",
            delta=allowed.delta,
            budget_epsilon=allowed.epsilon,
        )
        return ledger.spent(allowed.delta).epsilon

    return charge


def admission(
    spec: JobSpec, name: str, allowed: Budget | None, parameters: int, trainer: LocalTrainer
) -> Callable[[], None]:
    """What refuses a task at the site `name`: a missing private rule, or the site's own policy.

    The rule is looked at and the policy is read before each task, so nothing that changes in
    between goes unnoticed.
    """
    folder = spec.runtime.policies
    private = None if seeded(spec) else allowed

    def admit() -> None:
        if allowed is not None and not isinstance(trainer.rule, PrivateGradient):
            raise DpError(
                f"this job trains with differential privacy, but the rule in place at {name} is "
                f"{type(trainer.rule).__name__}; nothing is trained"
            )
        if folder is None:
            return
        facts = JobFacts(
            site=name,
            epsilon=private.epsilon if private else None,
            delta=private.delta if private else None,
            encrypted=spec.privacy.encryption.encrypted,
            min_sites=spec.min_sites(),
            sites=len(spec.sites()),
            adapter_kind=spec.adapter.encoder,
            parameters=parameters,
            metrics=measurements_sent(spec),
        )
        check_job(load_policy(folder / f"{name}.yaml"), facts)

    return admit


def ledger_path(spec: JobSpec, folder: RunFolder, name: str) -> Path:
    """Where the ledger of the site `name` is: shared by jobs, or this run's own."""
    shared = spec.privacy.example_level.ledger
    return (folder.site(name) if shared is None else shared) / f"{name}.ledger.sqlite"


def epsilons(spec: JobSpec, folder: RunFolder, examples: dict[str, int]) -> dict[str, float] | None:
    """What each site's ledger shows, of all jobs in it; None without differential privacy."""
    if spec.privacy.example_level.epsilon is None:
        return None
    return {site: spent(spec, folder, site, count).epsilon for site, count in examples.items()}


def seeded(spec: JobSpec) -> bool:
    """Whether the noise of this job can be repeated, so that its epsilon protects nobody."""
    config = spec.privacy.example_level
    return config.epsilon is not None and config.noise == "seeded"


def spent(spec: JobSpec, folder: RunFolder, name: str, examples: int) -> Spent:
    """What the ledger of the site `name` shows; nothing where it has none yet."""
    allowed = budget(spec, examples)
    assert allowed is not None
    path = ledger_path(spec, folder, name)
    if not path.exists():
        return prv_epsilon([], allowed.delta)
    return Ledger.at(path).spent(allowed.delta)


def examples_sha256(examples: Sequence[Example]) -> str:
    """SHA-256 over a site's examples, in order: what its ledger is about."""
    return sha256(dumps([asdict(example) for example in examples]).encode()).hexdigest()


def plan(spec: JobSpec, examples: dict[str, int]) -> dict[str, Any] | None:
    """What `describe` gives, with each site's epsilon after every round."""
    described = describe(spec, examples)
    if described is None:
        return None
    for site, each in described["sites"].items():
        allowed = budget(spec, examples[site])
        assert allowed is not None
        each["epsilon_by_round"] = [
            prv_epsilon([allowed.after(index + 1)], allowed.delta).epsilon
            for index in range(allowed.rounds)
        ]
    return described


def describe(spec: JobSpec, examples: dict[str, int]) -> dict[str, Any] | None:
    """The job's differential privacy as plain values; None without."""
    config = spec.privacy.example_level
    budgets = {site: budget(spec, count) for site, count in examples.items()}
    if config.epsilon is None:
        return None
    return {
        "unit": "one training example of one site",
        "neighbours": "add or remove one example",
        "mechanism": "subsampled Gaussian on per-example gradients (DP-SGD)",
        "space": config.space,
        "clip_norm": config.clip_norm,
        "sampler": "Poisson",
        "accountant": "PRV where it can answer, else RDP",
        "noise": config.noise,
        "target_epsilon": config.epsilon,
        "ledger": "of this run alone" if config.ledger is None else "shared by jobs",
        "sites": {
            site: {
                "examples": examples[site],
                "delta": each.delta,
                "noise_multiplier": each.round.noise_multiplier,
                "sample_rate": each.round.sample_rate,
                "steps_per_round": each.round.steps,
                "rounds": each.rounds,
            }
            for site, each in budgets.items()
            if each is not None
        },
    }
