"""Private jobs: repeatable where they are seeded, never over budget, always charged."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from veiltune.errors import Interrupted, RunError, SpecificationError
from veiltune.federation.site_state import read_rows
from veiltune.records import read_json
from veiltune.training import PlainGradient
from veiltune_jobs import private_training
from veiltune_jobs.job import JobSpec, load_job
from veiltune_jobs.run import Run
from veiltune_jobs.wiring import build_site, make_coordinator
from veiltune_privacy.dp.accounting import prv_epsilon
from veiltune_privacy.dp.ledger import Ledger, LedgerError

SITES = ("site-1", "site-2", "site-3")
ROUNDS = 3
# What NVFlare's own modules still use of Python and of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nvflare")
PRIVATE = (
    "privacy.example_level.epsilon=8",
    "data.partition.kind=uniform",
    "training.batch_size=4",
    "runtime.engine=inline",
)
SEEDED = (*PRIVATE, "privacy.example_level.noise=seeded")


def private(specification: Path, *settings: str) -> JobSpec:
    return load_job(specification, [*SEEDED, *settings])


def test_only_seeded_noise_is_marked_as_repeatable(specification: Path) -> None:
    assert private_training.seeded(private(specification))
    assert not private_training.seeded(load_job(specification, PRIVATE))
    unprotected = private(specification, "privacy.example_level.epsilon=null")
    assert not private_training.seeded(unprotected)


def ledger(run: Run, site: str) -> Ledger:
    return Ledger.at(private_training.ledger_path(run.spec, run.folder, site))


def test_a_new_process_for_every_task_stays_private_and_epsilon_right(
    specification: Path, tmp_path: Path
) -> None:
    """One thread for three sites in NVFlare's simulator, and encryption on, against inline."""
    inline = Run(private(specification))
    expected = inline.execute()
    settings = [
        "runtime.engine=nvflare",
        "runtime.parallel_sites=1",
        "privacy.encryption.scheme=ckks",
        f"runtime.output={tmp_path / 'nvflare'}",
    ]
    swapped = Run(private(specification, *settings))
    summary = swapped.execute()
    quantised = Run(private(specification, "privacy.encryption.scheme=quantised")).execute()
    assert summary["adapter_sha256"] == quantised["adapter_sha256"]
    assert summary["adapter_sha256"] != expected["adapter_sha256"]
    plain = load_job(specification, [*PRIVATE, "privacy.example_level.epsilon=null"])
    assert Run(plain).execute()["adapter_sha256"] != expected["adapter_sha256"]
    for site in SITES:
        count = summary["examples"][site]
        allowed = private_training.budget(swapped.spec, count)
        assert allowed is not None
        entries = ledger(swapped, site).entries()
        assert [entry.round_index for entry in entries] == list(range(ROUNDS))
        assert all(entry.release == allowed.round for entry in entries)
        right = prv_epsilon([allowed.after(ROUNDS)], allowed.delta).epsilon
        assert summary["epsilon"][site] == right <= 8
        assert right == pytest.approx(8, rel=2e-3)
    rounds = pd.read_parquet(swapped.folder.rounds)
    spent = rounds[rounds["round"] < ROUNDS].pivot(index="round", columns="site", values="epsilon")
    assert (spent.diff().dropna() > 0).all(axis=None)
    assert spent.iloc[-1].to_dict() == summary["epsilon"]
    card = read_json(swapped.folder.card)
    assert card["statement"].startswith("Not private: seeded noise")


def test_noise_of_the_operating_system_differs_from_run_to_run(specification: Path) -> None:
    def adapter(*settings: str) -> str:
        run = Run(load_job(specification, [*PRIVATE, "federation.rounds=1", *settings]))
        return str(run.execute(fresh=True)["adapter_sha256"])

    assert adapter() != adapter()
    seeded = "privacy.example_level.noise=seeded"
    assert adapter(seeded) == adapter(seeded)


def test_a_ledger_that_jobs_share_lets_nobody_overspend(
    specification: Path, tmp_path: Path
) -> None:
    shared = f"privacy.example_level.ledger={tmp_path / 'ledgers'}"
    first = Run(private(specification, shared))
    before = first.execute()["epsilon"]
    second = Run(private(specification, shared, "training.learning_rate=0.02"))
    with pytest.raises(RunError, match="the site allows 8") as caught:
        second.execute()
    assert all(site in str(caught.value) for site in SITES)
    assert read_json(second.folder.summary)["epsilon"] == before
    assert not list(second.folder.server.glob("sum-*.bin"))


@pytest.mark.parametrize("min_sites", [2, 3])
def test_a_site_without_budget_steps_out_and_the_job_goes_on_or_ends_cleanly(
    min_sites: int, specification: Path, tmp_path: Path
) -> None:
    shared = f"privacy.example_level.ledger={tmp_path / 'ledgers'}"
    spec = private(specification, shared, f"federation.min_sites={min_sites}")
    run = Run(spec)
    rows = run.corpus.shards["site-2"]
    allowed = private_training.budget(spec, len(rows))
    assert allowed is not None
    earlier = private_training.site_charge(spec, run.folder, "site-2", rows, allowed)
    earlier(7, len(rows), allowed.round.steps)  # what another job spent: one round is lacking
    summary = run.execute()
    assert summary["status"] == "complete"
    assert [(each["round"], each["site"]) for each in summary["missing"]][0] == (2, "site-2")
    assert "the site allows 8" in summary["missing"][0]["reason"]
    sums = len(list(run.folder.server.glob("sum-*.bin")))
    assert sums == (3 if min_sites == 2 else 2)
    assert len({final["adapter_sha256"] for final in run.folder.finals(SITES).values()}) == 1
    assert summary["adapter_sha256"] is not None
    assert len(ledger(run, "site-2").entries()) == 3 and summary["epsilon"]["site-2"] <= 8


@pytest.mark.parametrize("damage", ["missing", "older copy", "other data", "corrupted"])
def test_a_ledger_that_cannot_be_trusted_stops_the_site(damage: str, specification: Path) -> None:
    spec = private(specification, "federation.min_sites=2", "federation.rounds=6")
    run = Run(spec)
    path = private_training.ledger_path(spec, run.folder, "site-2")
    older: list[bytes] = []

    def look() -> None:
        rounds = len(run.folder.outcomes())
        if rounds == 1 and not older:
            older.append(path.read_bytes())
        if rounds == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run.execute(tick=look)
    match damage:
        case "missing":
            path.unlink()
        case "older copy":
            path.write_bytes(older[0])
        case "other data":
            path.unlink()
            Ledger(path, dataset_sha256="another", examples=5)
        case "corrupted":
            path.write_bytes(path.read_bytes()[:-3000])
    try:
        Run(spec).execute()
    except LedgerError as error:  # nothing can be summed up over it either
        assert "ledger" in str(error)
    reasons = [
        (outcome["round"], reason)
        for outcome in run.folder.outcomes()
        for site, reason in outcome["missing"].items()
        if site == "site-2"
    ]
    assert reasons and all("ledger" in reason and "\n" not in reason for _, reason in reasons)
    assert {index for index, _ in reasons} >= {4, 5}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("training.batch_size=500", "at most a site's number of examples"),
        ("privacy.example_level.delta=0.2", "below one over a site's examples"),
        ("privacy.example_level.epsilon=1e-7", "no noise can meet"),
    ],
)
def test_what_cannot_be_private_is_refused_before_anything_runs(
    setting: str, sentence: str, specification: Path
) -> None:
    run = Run(private(specification, setting))
    with pytest.raises(SpecificationError, match=sentence):
        run.execute()
    assert not list(run.folder.path.rglob("state.pt"))


def test_a_policy_of_the_site_refuses_the_job_and_the_others_go_on(
    specification: Path, tmp_path: Path
) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    rules = {"max_epsilon": 8.0, "max_delta": 1e-5, "encryption_required": False, "min_sites": 2}
    rules |= {"adapter_kinds": ["mlp"], "max_parameters": 10**6}
    for site in SITES:
        (policies / f"{site}.yaml").write_text(yaml.safe_dump(rules))
    (policies / "site-3.yaml").write_text(yaml.safe_dump({**rules, "max_epsilon": 2.0}))
    settings = [*PRIVATE, f"runtime.policies={policies}", "federation.min_sites=2"]
    summary = Run(load_job(specification, settings)).execute()
    missing = {(each["round"], each["site"]): each["reason"] for each in summary["missing"]}
    assert set(missing) == {(index, "site-3") for index in range(ROUNDS + 1)}
    assert all("max_epsilon" in reason for reason in missing.values())
    assert summary["epsilon"]["site-3"] == 0 < summary["epsilon"]["site-1"]
    plain = [*settings, "privacy.example_level.epsilon=null"]
    with pytest.raises(RunError, match="dp_required"):
        Run(load_job(specification, plain)).execute()
    (policies / "site-2.yaml").unlink()
    with pytest.raises(RunError, match="site-2: expected a site's policy"):
        Run(load_job(specification, settings)).execute(fresh=True)


def test_a_site_whose_private_rule_is_gone_trains_nothing(specification: Path) -> None:
    run = Run(private(specification))
    run.folder.path.mkdir(parents=True)
    run._begin()
    site = build_site(str(run.folder.path), "site-1")
    site.trainer.rule = PlainGradient()
    reply = site.answer(make_coordinator(run.spec, run.folder).task("site-1"))
    assert reply.update is None and reply.reason is not None and "PlainGradient" in reply.reason
    assert not private_training.ledger_path(run.spec, run.folder, "site-1").exists()


def test_a_killed_job_has_charged_what_it_released(specification: Path) -> None:
    """SIGKILL at random moments; each time the job goes on, as far as its budget does."""
    output = specification.parent / "killed"
    run = Run(private(specification, "federation.rounds=8", f"runtime.output={output}"))
    draw = np.random.default_rng(3)
    context = multiprocessing.get_context("fork")
    killed = 0
    for _ in range(10):
        child = context.Process(target=_execute_quietly, args=(run,))
        child.start()
        child.join(timeout=float(draw.uniform(0.1, 1.5)))
        assert child.pid is not None
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
        for site in SITES:
            path = private_training.ledger_path(run.spec, run.folder, site)
            entries = ledger(run, site).entries() if path.exists() else []
            released = {row["round"] for row in read_rows(run.folder.site(site)) if row["steps"]}
            assert released <= {entry.round_index for entry in entries}
        sums = sorted(run.folder.server.glob("sum-*.bin"))
        charged = (
            {entry.round_index for entry in ledger(run, "site-1").entries()} if sums else set()
        )
        assert set(range(len(sums))) <= charged
    assert killed >= 3
    spent = private_training.epsilons(run.spec, run.folder, run._examples())
    assert spent is not None and max(spent.values()) <= 8


def _execute_quietly(run: Run) -> None:
    """In the child: ends without a word, since what it would say is that the budget is spent."""
    os.close(2)
    run.execute()
