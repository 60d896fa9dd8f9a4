"""Both exchanges sum the same updates, and what is wrong shows. No time is asserted here."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from veiltune_analysis.bench import EncryptionPlan, bench_encryption, encryption, streamed
from veiltune_analysis.bench.encryption import Case, MeasuredCase
from veiltune_analysis.bench.exchange import DRAWN_AT_ONCE, RANGE, Federation, Variant
from veiltune_analysis.bench.nvflare_he import NvflareExchange, nvflare_quiet
from veiltune_analysis.bench.streamed import StreamedPlan, WorkerPeaks
from veiltune_jobs.bench_cli import bench_app
from veiltune_privacy.he.streaming import over_chunks

KEYS = (
    "variant",
    "bits",
    "sites",
    "params",
    "up_bytes_per_param",
    "down_bytes_per_param",
    "up_ratio",
    "down_ratio",
    "encrypt_ratio",
    "server_ratio",
    "decrypt_ratio",
    "max_abs_err",
    "error_bound",
    "mismatches",
)
PARAMS = 9000
PLAN = EncryptionPlan(
    cases=(
        Case(sites=3, params=PARAMS, variants=(Variant("ckks", 16), Variant("bfv", 12, "full"))),
        Case(sites=2, params=PARAMS, variants=(Variant("ckks", 12),), timed=False),
    ),
    streamed=StreamedPlan(params=PARAMS),
    repeats=1,
)
# The decoded mean is a float32, and so is an update times its weight: half a unit in the last place
# of values of at most twice the range, for each.
FLOAT32_ROUNDING = 2 * RANGE * 2.0**-23


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages of the stream run here, which saves the start of three processes."""
    monkeypatch.setattr(streamed, "_in_own_process", lambda work, argument: work(argument))


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "_in_own_process", lambda work, argument: work(argument))
        return bench_encryption(PLAN, lambda line: None)


def test_a_row_has_these_keys_and_each_variant_a_row(figures: dict[str, Any]) -> None:
    assert [tuple(row) for row in figures["rows"]] == [KEYS] * 3
    assert [row["variant"] for row in figures["rows"]] == ["ckks seeds", "bfv full", "ckks seeds"]


def test_decrypted_integers_are_exact_and_means_within_their_bound(figures: dict[str, Any]) -> None:
    for row in figures["rows"]:
        assert row["mismatches"] == 0
        assert 0 < row["max_abs_err"] <= row["error_bound"] + FLOAT32_ROUNDING


def test_ratios_are_nvflares_figure_over_ours(figures: dict[str, Any]) -> None:
    nvflare, *ours = figures["cpu_seconds"]
    (sent,) = figures["nvflare"]
    for row, seconds in zip(figures["rows"], ours, strict=False):
        for way in ("up", "down"):
            expected = sent[f"{way}_bytes_per_param"] / row[f"{way}_bytes_per_param"]
            assert row[f"{way}_ratio"] == pytest.approx(expected) and expected > 1
        for stage in encryption.STAGES:
            assert row[f"{stage}_ratio"] == nvflare[stage] / seconds[stage]


def test_where_nvflare_did_not_run_there_is_no_ratio(figures: dict[str, Any]) -> None:
    row = figures["rows"][-1]
    assert [row[key] for key in KEYS if key.endswith("_ratio")] == [None] * 5


def test_the_mean_of_both_is_the_same_but_for_their_errors(figures: dict[str, Any]) -> None:
    (sent,) = figures["nvflare"]
    assert 0 < sent["max_abs_err"] < figures["rows"][0]["error_bound"]


def test_the_streamed_round_is_exact(figures: dict[str, Any]) -> None:
    round_ = figures["streamed"]
    assert round_["mismatches"] == 0
    assert (round_["params"], round_["sites"]) == (PARAMS, 3)
    assert min(round_["up_bytes"], round_["down_bytes"]) > 2 * PARAMS
    assert round_["worker_peak_mb"] is None  # so small an update has no workers


def test_a_wrong_integer_is_counted() -> None:
    variant = Variant("ckks", 16)
    measured = MeasuredCase(Case(sites=2, params=PARAMS, variants=(variant,), timed=False), 1)
    first, _ = measured.federation.names
    altered = measured.federation.update(first)
    altered[[7, 11]] += np.float32(0.01)
    exchange = measured.exchanges[variant]
    uploads = [exchange.encrypt(first, altered), measured.uploads[variant][1]]
    measured.downloads[variant] = exchange.add(uploads)
    (row,) = measured.rows()
    assert row["mismatches"] == 2
    assert row["max_abs_err"] > row["error_bound"]


def test_updates_fill_the_range_to_both_ends_and_stay_in_it() -> None:
    federation = Federation(sites=5, params=PARAMS)
    for site in federation.names:
        ratio = np.float32(federation.weight(site) / federation.reference_weight)
        weighted = federation.update(site) * ratio
        assert weighted.max() == weighted[0] == pytest.approx(RANGE, rel=1e-6)
        assert weighted.min() == weighted[1] == -weighted[0]
        assert np.abs(weighted).max() <= RANGE
    assert not np.array_equal(federation.update("site-00"), federation.update("site-01"))


def test_a_long_update_begins_like_a_short_one() -> None:
    short = Federation(sites=2, params=PARAMS).update("site-01")
    long = Federation(sites=2, params=DRAWN_AT_ONCE + 5).update("site-01")
    assert np.array_equal(long[:PARAMS], short)
    assert np.ptp(long[DRAWN_AT_ONCE:]) > 0


def test_nvflare_refuses_a_site_that_comes_twice(tmp_path: Path) -> None:
    with nvflare_quiet():
        nvflare = NvflareExchange(tmp_path)
        message = nvflare.encrypt("site-1", np.ones(5, np.float32), 1)
        with pytest.raises(ValueError, match="did not accept"):
            nvflare.add([message, message])


def test_tenseal_is_silent_inside_and_we_are_heard_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with nvflare_quiet():
        NvflareExchange(tmp_path).encrypt("site-1", np.ones(PARAMS, np.float32), 1)
    print("outside")
    assert capsys.readouterr().out == "outside\n"


def test_the_peaks_of_worker_processes_are_seen() -> None:
    with WorkerPeaks() as workers:
        list(over_chunks(float, ("0.4",), time.sleep, [(), (), ()], processes=2))
    # A Python process holds at least its interpreter, and this one with torch is no measure of it.
    assert workers.highest_mb is not None
    assert 5 < workers.highest_mb < 200


def test_a_child_that_is_no_worker_is_not_looked_at() -> None:
    with WorkerPeaks() as workers:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)"], check=True)
    assert workers.highest_mb is None


def test_a_stage_has_a_process_of_its_own() -> None:
    here = os.path.realpath("/proc/self")
    assert streamed._in_own_process(os.path.realpath, "/proc/self") != here


@pytest.mark.usefixtures("one_process")
def test_json_is_the_only_line_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EncryptionPlan, "quick", lambda: PLAN)
    result = CliRunner().invoke(bench_app, ["encryption", "--quick", "--json"])
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert json.loads(line).keys() >= {"rows", "streamed"}
    assert "not to be quoted" in result.stderr


@pytest.mark.usefixtures("one_process")
def test_without_json_it_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EncryptionPlan, "quick", lambda: PLAN)
    result = CliRunner().invoke(bench_app, ["encryption", "--quick"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    at = next(index for index, line in enumerate(lines) if line.split() == list(KEYS))
    assert [line.split()[2] for line in lines[at + 1 : at + 4]] == ["16", "12", "12"]
