"""One job plain, quantised and encrypted; and what the server gets to see of it."""

import importlib.util
import json
import pickle
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from veiltune.errors import Interrupted, PayloadError, RunError
from veiltune.federation import run_inline
from veiltune.federation.messages import read_reply
from veiltune.federation.nvflare import simulator
from veiltune.federation.nvflare.job import FederatedJob
from veiltune.federation.payload import make_sum, read_payload
from veiltune.records import read_json, write_json
from veiltune_jobs import exchange
from veiltune_jobs.job import load_job
from veiltune_jobs.plan import plan
from veiltune_jobs.run import Run, Summary
from veiltune_jobs.server_view import describe, server_view
from veiltune_jobs.wiring import build_site, make_coordinator
from veiltune_privacy.he import wire
from veiltune_privacy.he.ckks import PublicContext, SecretContext, new_secret_key
from veiltune_privacy.he.keys import KeyFileError
from veiltune_privacy.he.parameters import CipherParameters

HERE = Path(__file__).parent
SITES = ("site-1", "site-2", "site-3")
ROUNDS = 3
SITE_MODULE = "veiltune.federation.nvflare.client"
# What NVFlare's own modules still use of Python and of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nvflare")


def job(specification: Path, scheme: str, *settings: str) -> Run:
    changes = [f"privacy.encryption.scheme={scheme}", "runtime.engine=inline", *settings]
    return Run(load_job(specification, changes))


@pytest.fixture
def failing_site() -> ModuleType:
    found = importlib.util.spec_from_file_location("failing_site", HERE / "failing_site.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_one_key_of_the_specification_changes_how_updates_travel(specification: Path) -> None:
    runs = {scheme: job(specification, scheme) for scheme in ("none", "quantised", "ckks", "bfv")}
    done: dict[str, Summary] = {scheme: run.execute() for scheme, run in runs.items()}
    adapters = {scheme: summary["adapter_sha256"] for scheme, summary in done.items()}
    assert adapters["ckks"] == adapters["bfv"] == adapters["quantised"] != adapters["none"]
    assert done["quantised"]["val_loss"] == pytest.approx(done["none"]["val_loss"], abs=0.01)
    assert [bool(done[scheme]["encryption"]) for scheme in runs] == [False, False, True, True]
    for scheme, run in runs.items():
        card = read_json(run.folder.card)
        assert (card["encryption"] or {}).get("scheme") == (
            scheme if scheme in ("ckks", "bfv") else None
        )
        assert not list(run.folder.path.rglob("*.key")), "a complete run needs its key no more"


@pytest.mark.parametrize("scheme", ["none", "quantised", "ckks"])
def test_a_plan_says_the_bytes_and_the_error_of_the_run(scheme: str, specification: Path) -> None:
    run = job(specification, scheme)
    numbers = plan(run.spec)
    summary = run.execute()
    for direction in ("upload", "download"):
        name = f"{direction}_bytes_per_site_round"
        assert summary[name] == numbers[name]
    table = run.folder.write_rounds(SITES)
    first = table[table["round"] == 1]["error_bound"]
    assert first.tolist() == pytest.approx([numbers["error_bound"]] * 3, rel=1e-6)
    assert (numbers["error_bound"] > 0) == (scheme != "none")


def test_the_servers_view_of_an_encrypted_run(
    specification: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under NVFlare, with everything dumped that the server's process received or stored.

    It never opens a file with the secret key, what it has cannot be decrypted with what it has, and
    none of it compresses, as numbers in clear would.
    """
    expected = job(specification, "quantised").execute()
    opened = tmp_path / "opened.txt"
    monkeypatch.setenv("VEILTUNE_WATCH", str(opened))
    monkeypatch.setenv("PYTHONPATH", f"{HERE / 'watch'}:{HERE}")
    run = job(specification, "ckks", f"runtime.output={tmp_path / 'watched'}")
    prepared(run)
    federated = FederatedJob(
        name="watched",
        run=str(run.folder.path),
        site_factory="veiltune_jobs.wiring:build_site",
        coordinator_factory="watched_server:build_coordinator",
        sites=SITES,
        min_sites=2,
        first_round=0,
        rounds=ROUNDS,
        round_timeout_s=100,
        poll_s=0.05,
    )
    assert simulator.simulate(federated, len(SITES), 1, run.folder.log, lambda: None) == 0
    finals = run.folder.finals(SITES)
    assert {final["adapter_sha256"] for final in finals.values()} == {expected["adapter_sha256"]}

    secret = (run.folder.site("site-1") / exchange.SECRET_KEY_FILE).read_bytes()
    received = [pickle.loads(path.read_bytes()) for path in sorted(run.folder.path.glob("dump/*"))]
    assert len(received) == len(SITES) * (ROUNDS + 1)
    openings = opened.read_text().splitlines()
    server = str(received[0]["process"])
    assert len(openings) == len(SITES) and all(SITE_MODULE in line for line in openings)
    assert SITE_MODULE not in server and "simulator" in server

    stored = {path.name: path.read_bytes() for path in run.folder.server.iterdir()}
    key = json.loads(secret)["key"].encode()
    for content in (*stored.values(), *(pickle.dumps(each) for each in received)):
        assert key not in content and key[100:140] not in content

    public = exchange.public_part(run.spec, run.folder)
    assert public is not None
    for each in received:
        reply = read_reply(each["arrays"])
        head = json.loads(each["arrays"]["reply"].tobytes())
        assert set(head) == {"site", "round", "applied", "reason", "withdrawn"}
        assert head["reason"] is None
        if reply.update is not None:
            assert not compresses(reply.update.body, public.parameters)
    for name in sorted(stored):
        if not name.endswith(".bin"):
            continue
        total = read_payload(np.frombuffer(stored[name], np.uint8))
        assert not compresses(total.body, public.parameters)
        rows = total.body.reshape(public.parameters.ciphertexts, -1)
        assert not hasattr(PublicContext(public.parameters), "decrypt")
        guess = SecretContext(public.parameters, new_secret_key(public.parameters))
        with pytest.raises(PayloadError):
            guess.decrypt_seeded(
                *wire.split_seeds(
                    rows, public.parameters.degree, public.parameters.word_bytes, len(SITES)
                )
            )


def test_the_view_of_a_server_can_be_shown(specification: Path) -> None:
    views = {}
    for scheme in ("none", "quantised", "ckks"):
        run = job(specification, scheme)
        run.execute()
        views[scheme] = server_view(run.folder.path)
        assert views[scheme]["replies"] == len(SITES) * (ROUNDS + 1)
        assert set(views[scheme]["sums"]) == {f"sum-{index:05d}.bin" for index in range(ROUNDS)}
    assert all("norm" in reading for reading in views["none"]["sums"].values())
    assert all("integers" in reading for reading in views["quantised"]["sums"].values())
    assert all("does not open" in reading for reading in views["ckks"]["sums"].values())
    cut = prepared(job(specification, "ckks", "seed=5"))
    write_json(cut.folder.summary, read_json(run.folder.summary))
    (cut.folder.server / "received.jsonl").touch()
    assert server_view(cut.folder.path)["secret_key_found"] is False
    key = cut.folder.site("site-1") / exchange.SECRET_KEY_FILE
    (cut.folder.server / "leaked").write_bytes(key.read_bytes())
    assert server_view(cut.folder.path)["secret_key_found"] is True
    assert "FOUND" in describe(server_view(cut.folder.path))


def test_a_site_that_missed_a_round_catches_up_from_sums_it_alone_can_open(
    specification: Path, failing_site: ModuleType
) -> None:
    """As in a job in clear, to the bit; and with a site that loses its state but not its key."""
    adapters = {}
    for scheme in ("quantised", "ckks"):
        run = prepared(job(specification, scheme))
        sites = [failing_site.build_site(str(run.folder.path), name) for name in SITES]
        run_inline(sites, make_coordinator(run.spec, run.folder), 1, lambda: None)
        assert list(run.folder.outcomes()[1]["missing"]) == ["site-2"]
        (adapters[scheme],) = {f["adapter_sha256"] for f in run.folder.finals(SITES).values()}
    assert adapters["ckks"] == adapters["quantised"]
    (run.folder.site("site-3") / "state.pt").unlink()
    again = build_site(str(run.folder.path), "site-3")
    reply = again.answer(make_coordinator(run.spec, run.folder).task("site-3"))
    assert reply.applied == ROUNDS and reply.update is None and reply.reason is None
    assert run.folder.finals(SITES)["site-3"]["adapter_sha256"] == adapters["ckks"]


@pytest.mark.parametrize("wrong", ["missing", "readable by others", "cut"])
def test_a_site_does_not_start_without_its_key(wrong: str, specification: Path) -> None:
    run = prepared(job(specification, "ckks"))
    path = run.folder.site("site-2") / exchange.SECRET_KEY_FILE
    match wrong:
        case "missing":
            path.unlink()
        case "readable by others":
            path.chmod(0o640)
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(KeyFileError) as caught:
        build_site(str(run.folder.path), "site-2")
    assert "site-2" in str(caught.value) and "\n" not in str(caught.value)


def test_a_site_with_the_key_of_another_run_is_named(specification: Path) -> None:
    run, other = (prepared(job(specification, "ckks", f"seed={seed}")) for seed in (1, 2))
    mine, theirs = (each.folder.site("site-2") / exchange.SECRET_KEY_FILE for each in (run, other))
    mine.write_bytes(theirs.read_bytes())
    site = build_site(str(run.folder.path), "site-2")
    coordinator = make_coordinator(run.spec, run.folder)
    coordinator.receive(site.answer(coordinator.task("site-2")))
    with pytest.raises(RunError, match="site-2: its update was made under the key"):
        coordinator.close_round()


def test_a_sum_that_does_not_open_retires_the_sites_key_for_good(specification: Path) -> None:
    run = prepared(job(specification, "ckks"))
    path = str(run.folder.path)
    coordinator = make_coordinator(run.spec, run.folder)
    for name in SITES:
        coordinator.receive(build_site(path, name).answer(coordinator.task(name)))
    coordinator.close_round()
    total = coordinator.sums[0]
    body = total.body.copy()
    body[:6] ^= 255
    coordinator.sums[0] = make_sum(total.header.codec, [total], body)
    reply = build_site(path, "site-2").answer(coordinator.task("site-2"))
    assert reply.update is None and reply.reason is not None and "does not open" in reply.reason
    assert not (run.folder.site("site-2") / exchange.SECRET_KEY_FILE).exists()
    with pytest.raises(KeyFileError, match="retired"):
        build_site(path, "site-2")
    assert build_site(path, "site-1").answer(make_coordinator(run.spec, run.folder).task("site-1"))


def test_a_cut_run_keeps_its_key_and_goes_on_with_it(specification: Path) -> None:
    run = job(specification, "ckks")
    expected = job(specification, "quantised").execute()["adapter_sha256"]

    def stop() -> None:
        if len(run.folder.outcomes()) == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run.execute(tick=stop)
    keys = [run.folder.site(name) / exchange.SECRET_KEY_FILE for name in SITES]
    before = [path.read_bytes() for path in keys]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys)
    summary = job(specification, "ckks").execute()
    assert summary["adapter_sha256"] == expected
    assert not any(path.exists() for path in keys)
    fresh = job(specification, "ckks")
    fingerprint = read_json(run.folder.card)["encryption"]["key_fingerprint"]
    fresh.execute(fresh=True)
    assert read_json(run.folder.card)["encryption"]["key_fingerprint"] != fingerprint
    assert len(set(before)) == 1


def prepared(run: Run) -> Run:
    """The run's folder has its specification and its keys; nothing has run."""
    run.folder.path.mkdir(parents=True)
    run._begin()
    exchange.provide_keys(run.spec, run.folder)
    return run


def compresses(body: NDArray[np.uint8], parameters: CipherParameters) -> bool:
    """Whether zlib finds anything in the six low bytes of the words; in random bytes it does not.

    The highest byte of a word does not take all values, for the modulus is no power of 256.
    """
    size = parameters.degree * parameters.word_bytes
    words = body.reshape(parameters.ciphertexts, -1)[:, :size].reshape(-1, parameters.word_bytes)
    low = words[:, :6].tobytes()
    return len(zlib.compress(low)) < len(low)
