"""Runs one job from its specification to its record."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from veiltune.adapter import PromptEncoder, load_encoder
from veiltune.backbone import FrozenModel, check_backbone, load_backbone
from veiltune.data import duplicates_across_splits, label_counts
from veiltune.errors import Interrupted, OutputError, RunError
from veiltune.federation import run_inline
from veiltune.federation.nvflare.job import FederatedJob
from veiltune.federation.nvflare.simulator import simulate
from veiltune.federation.nvflare.tracking import check_tracker
from veiltune.records import (
    RunFolder,
    dataset_sha256,
    locked,
    provenance,
    read_json,
    write_json,
)
from veiltune_analysis.report import write_report
from veiltune_jobs import exchange, privacy_card, private_training
from veiltune_jobs.job import JobSpec, run_id, with_absolute_paths
from veiltune_jobs.specification import dump_yaml, specification_hash
from veiltune_jobs.wiring import Corpus, load_corpus, make_coordinator, make_site

Summary = dict[str, Any]
Tick = Callable[[], None]


@dataclass
class SharedModel:
    """A frozen model that several inline runs use, loaded when the first one needs it."""

    model: FrozenModel | None = None
    fingerprint: str = ""
    key: str = ""

    def get(self, spec: JobSpec) -> tuple[FrozenModel, str]:
        """The model of `spec` and its fingerprint."""
        key = spec.backbone.model_dump_json()
        if self.model is None or self.key != key:
            self.model = load_backbone(spec.backbone)
            self.fingerprint, self.key = self.model.fingerprint(), key
        return self.model, self.fingerprint


class Run:
    """One run of a job: its folder, and what it takes to fill it."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = with_absolute_paths(spec)
        self.corpus: Corpus = load_corpus(self.spec)
        self.data_sha256 = dataset_sha256(self.corpus.dataset)
        output = self.spec.runtime.output / spec.name
        self.folder = RunFolder(output / run_id(self.spec, self.data_sha256))

    def execute(
        self,
        *,
        fresh: bool = False,
        report: bool = True,
        shared: SharedModel | None = None,
        tick: Tick | None = None,
    ) -> Summary:
        """The run is recorded, with its page unless `report` is false; returns its summary.

        A run that is complete is not repeated, and one that was cut goes on after its last
        complete round, unless `fresh`.

        Raises:
            Interrupted: the user stopped it; it can be taken up again.
            Exception: it failed; what was recorded before is kept.
        """
        check_tracker(self.spec.runtime.tracking)
        with locked(self.folder.path):
            if fresh:
                self._clear()
            if self.folder.status() == "complete":
                exchange.destroy_keys(self.spec, self.folder)  # if it was cut before it did
                return read_json(self.folder.summary)
            self._begin()
            start = time.perf_counter()
            try:
                with signals_interrupt():
                    self._run_engine(shared or SharedModel(), tick or (lambda: None))
            except KeyboardInterrupt:
                self._record("interrupted", time.perf_counter() - start)
                raise Interrupted(
                    f"stopped in round {self._rounds_done()} of {self.spec.federation.rounds}; "
                    f"everything up to there is in {self.folder.path}, and the same command goes "
                    f"on from there"
                ) from None
            except Exception:
                self._record("failed", time.perf_counter() - start)
                raise
            summary = self._record("complete", time.perf_counter() - start)
            exchange.destroy_keys(self.spec, self.folder)
            if report:
                write_report(self.folder.path)
            return summary

    def _clear(self) -> None:
        for entry in self.folder.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != ".lock":
                entry.unlink()

    def _begin(self) -> None:
        folder = self.folder
        folder.spec.write_text(dump_yaml(self.spec))
        write_json(
            folder.provenance,
            provenance(
                Path(__file__).parent,
                specification_hash(self.spec),
                self.spec.seed,
                self.data_sha256,
            ),
        )

    def _run_engine(self, shared: SharedModel, tick: Tick) -> None:
        for examples in self._examples().values():
            private_training.budget(self.spec, examples)  # what no site can meet is told at once
        exchange.provide_keys(self.spec, self.folder)
        if self.spec.runtime.engine == "inline":
            self._run_inline(shared, tick)
        else:
            self._run_nvflare(tick)

    def _run_inline(self, shared: SharedModel, tick: Tick) -> None:
        spec, folder = self.spec, self.folder
        torch.set_num_threads(spec.runtime.threads)
        model, frozen = shared.get(spec)
        sites = [make_site(spec, folder, model, frozen, self.corpus, name) for name in spec.sites()]
        coordinator = make_coordinator(spec, folder)
        run_inline(sites, coordinator, spec.runtime.parallel_sites or len(sites), tick)

    def _run_nvflare(self, tick: Tick) -> None:
        spec, folder = self.spec, self.folder
        check_backbone(spec.backbone)  # a wrong name is told at once, not by the sites
        sites = spec.sites()
        job = FederatedJob(
            name=spec.name,
            run=str(folder.path),
            site_factory="veiltune_jobs.wiring:build_site",
            coordinator_factory="veiltune_jobs.wiring:build_coordinator",
            sites=sites,
            min_sites=spec.min_sites(),
            first_round=make_coordinator(spec, folder).next_round,
            rounds=spec.federation.rounds,
            round_timeout_s=spec.federation.round_timeout_s,
            poll_s=spec.runtime.poll_s,
            tracker=spec.runtime.tracking,
        )
        processes = spec.runtime.parallel_sites or len(sites)
        before = folder.outcomes()
        code = simulate(job, processes, spec.runtime.threads, folder.log, tick)
        outcomes = folder.outcomes()
        if outcomes != before and "error" in outcomes[-1]:
            raise RunError(outcomes[-1]["error"])
        if code != 0 or not folder.finals(sites):
            raise RunError(
                f"NVFlare's simulator should have finished the job, but it ended with exit code "
                f"{code}; its log is {folder.log}"
            )

    def _examples(self) -> dict[str, int]:
        return {site: len(rows) for site, rows in self.corpus.shards.items()}

    def _rounds_done(self) -> int:
        return len(list(self.folder.server.glob("sum-*.bin")))

    def _record(self, status: str, seconds: float) -> Summary:
        """Writes the table, the summary, the privacy card and the shared adapter."""
        spec, folder = self.spec, self.folder
        table = folder.write_rounds(spec.sites())
        finals = folder.finals(spec.sites()) if status == "complete" else {}
        for what in ("adapter", "frozen"):
            if len({final[f"{what}_sha256"] for final in finals.values()}) > 1:
                raise RunError(
                    f"all sites must end with the same {what} weights, but they differ; the run in "
                    f"{folder.path} cannot be trusted"
                )
        best = next(iter(finals.values()), {})
        measured = table.dropna(subset=["global_loss"]).groupby("round")["global_loss"].mean()
        trained = table[table["steps"] > 0]
        dataset, shards = self.corpus.dataset, self.corpus.shards
        public = exchange.public_part(spec, folder)
        encryption = public and exchange.describe(spec, public.parameters)
        summary: Summary = {
            "run": folder.path.name,
            "job": spec.name,
            "status": status,
            "engine": spec.runtime.engine,
            "arm": spec.federation.arm,
            "alone_site": spec.federation.alone_site,
            "seed": spec.seed,
            "sites": list(spec.sites()),
            "rounds": spec.federation.rounds,
            "val_loss_first": measured.iloc[0] if len(measured) else None,
            "val_loss": best.get("val_loss", measured.iloc[-1] if len(measured) else None),
            "val_accuracy": best.get("val_accuracy"),
            "test_loss": best.get("test_loss"),
            "test_accuracy": best.get("test_accuracy"),
            "upload_bytes_per_site_round": _mean(trained["upload_bytes"]),
            "download_bytes_per_site_round": _mean(table[table["round"] > 0]["download_bytes"]),
            "clipped": int(table["clipped"].sum()),
            "epsilon": private_training.epsilons(spec, folder, self._examples()),
            "seeded_noise": private_training.seeded(spec),
            "encryption": encryption and exchange.short(encryption),
            "adapter_sha256": best.get("adapter_sha256"),
            "seconds": round(seconds, 3),
            "examples": self._examples(),
            "label_counts": {
                site: label_counts(rows, dataset.labels) for site, rows in shards.items()
            },
            "truncated": {site: final["truncated"] for site, final in finals.items()},
            "duplicates": duplicates_across_splits(dataset),
            "missing": [
                {"round": entry["round"], "site": site, "reason": reason}
                for entry in folder.outcomes()
                for site, reason in entry["missing"].items()
            ],
            "synthetic": dataset.synthetic,
            "data": dataset.name,
            "backbone": spec.backbone.name,
        }
        if finals:
            source = folder.site(next(iter(finals))) / "adapter"
            shutil.copytree(source, folder.adapter, dirs_exist_ok=True)
        write_json(folder.summary, summary)
        privacy_card.write(folder, spec, summary)
        return read_json(folder.summary)


def open_run(path: Path) -> tuple[RunFolder, Summary]:
    """A recorded run and its summary.

    Raises:
        OutputError: `path` is not the folder of a run.
    """
    folder = RunFolder(path)
    if not folder.summary.exists():
        raise OutputError(
            f"expected the folder of a run, with a summary.json, got {path}; a run's folder is "
            f"printed when it ends and lies under runs/<job>/"
        )
    return folder, read_json(folder.summary)


def open_prompt(path: Path, site: str | None) -> tuple[RunFolder, Summary, PromptEncoder]:
    """A complete run, its summary, and its shared prompt or, with `site`, that site's own.

    Raises:
        OutputError: `path` is not a complete run, or has no such site.
    """
    folder, summary = open_run(path)
    if summary["status"] != "complete":
        raise OutputError(
            f"a prompt comes from a complete run, {path} is {summary['status']}; run the job again "
            f"to finish it"
        )
    if site is not None and site not in summary["sites"]:
        raise OutputError(
            f"--site must be one of {', '.join(summary['sites'])}, got {site}; leave it out for "
            f"the shared prompt"
        )
    return (
        folder,
        summary,
        load_encoder(folder.site(site) / "own_adapter" if site else folder.adapter),
    )


def _mean(values: Any) -> int | None:
    return round(float(values.mean())) if len(values) else None


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does, so that nothing is left behind in either case."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: whoever owns it handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
