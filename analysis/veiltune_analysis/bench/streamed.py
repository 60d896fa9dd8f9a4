"""One round of a large update in a stream: seconds, bytes, and the peak memory of every process.

The sites' encryption, the server's addition and a site's decryption each have a process of their
own, as in a deployment, which gives chunks of ciphertexts to worker processes. What a process held
at most is the operating system's own mark of it (`VmHWM` of Linux; without it, no peak is told).
"""

import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import numpy as np
import psutil
import torch

from veiltune.federation.payload import read_payload
from veiltune_analysis.bench.exchange import (
    Federation,
    Variant,
    add,
    clear_exchange,
    encrypted_exchange,
    make_key,
)
from veiltune_privacy.he.addition import CiphertextSum
from veiltune_privacy.he.keys import PublicPart, SecretKey
from veiltune_privacy.he.planning import choose_form

SAMPLED_EVERY_S = 0.02
WORKER = "LokyProcess"
"""Is in the command line of a worker process and of no other."""
BITS: Literal[16] = 16
STATE, TOTAL, MEAN = "state.pt", "total.npy", "mean.npy"

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class StreamedPlan:
    """The size of the round; the default is that of the reference's prompt encoder."""

    params: int = 50_000_000
    sites: int = 3
    processes: int = 2
    """Worker processes of each site and of the server."""


@dataclass(frozen=True)
class Stage:
    """What one process measured of itself."""

    seconds: float
    """Wall time of one site's or the server's work, the start of its workers included."""
    message_bytes: int
    peak_mb: float | None
    """Of the process itself, in 10 ** 6 bytes."""
    worker_peak_mb: float | None
    """Of its largest worker process; None if it had none."""


class WorkerPeaks:
    """Inside, the peak memory of this process's workers is looked at, again and again.

    The mark only rises, so what a worker reached earlier is not missed; only what it takes in the
    last moments of its life is.
    """

    def __init__(self) -> None:
        self.highest_mb: float | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        """The looking has begun."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The looking is over."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(SAMPLED_EVERY_S):
            for child in psutil.Process().children():
                peak = _worker_peak_mb(child)
                if peak is not None:
                    self.highest_mb = max(peak, self.highest_mb or 0.0)


def bench_streamed(plan: StreamedPlan) -> dict[str, Any]:
    """One round of 16-bit CKKS with every parameter checked; seconds are wall time.

    `mismatches` counts parameters of the mean that differ from the mean of the same integers added
    in clear. One that is off by one shows, for a float32 tells all their sums apart.
    """
    federation = Federation(plan.sites, plan.params)
    key = make_key(federation, Variant("ckks", BITS))
    variant = Variant("ckks", BITS, choose_form(key.parameters, plan.sites))
    with tempfile.TemporaryDirectory(prefix="veiltune-bench-") as name:
        round_ = _Round(Path(name), federation, variant, plan.processes)
        encrypted = _in_own_process(round_.encrypt, key)
        added = _in_own_process(round_.add, key.public())
        round_.add_in_clear()
        decrypted, mismatches = _in_own_process(round_.decrypt, key)
    peaks = [stage.worker_peak_mb for stage in (encrypted, added, decrypted)]
    return {
        "variant": variant.name,
        "bits": BITS,
        **asdict(plan),
        "up_bytes": encrypted.message_bytes,
        "down_bytes": added.message_bytes,
        "encrypt_s": encrypted.seconds,
        "server_s": added.seconds,
        "decrypt_s": decrypted.seconds,
        "worker_peak_mb": max((peak for peak in peaks if peak is not None), default=None),
        "encrypt_peak_mb": encrypted.peak_mb,
        "server_peak_mb": added.peak_mb,
        "decrypt_peak_mb": decrypted.peak_mb,
        "mismatches": mismatches,
    }


@dataclass(frozen=True)
class _Round:
    """The stages of the round; between them everything lies in `folder`."""

    folder: Path
    federation: Federation
    variant: Variant
    processes: int

    def encrypt(self, key: SecretKey) -> Stage:
        """The sites' work, one site after the other; the seconds are those of the last."""
        exchange = encrypted_exchange(self.federation, self.variant, key, self.processes)
        seconds, message_bytes = 0.0, 0
        with WorkerPeaks() as workers:
            for site in self.federation.names:
                update = self.federation.update(site)
                start = time.perf_counter()
                message = exchange.encrypt(site, update)
                seconds, message_bytes = time.perf_counter() - start, message.nbytes
                np.save(self.folder / f"{site}.npy", message)
                del update, message
        torch.save(exchange.codec.state(), self.folder / STATE)
        return Stage(seconds, message_bytes, _peak_mb("self"), workers.highest_mb)

    def add(self, public: PublicPart) -> Stage:
        """The server's work."""
        addition = CiphertextSum(public, self.variant.form, self.processes)
        messages = [np.load(self.folder / f"{site}.npy") for site in self.federation.names]
        with WorkerPeaks() as workers:
            start = time.perf_counter()
            total = add(addition, messages)
            seconds = time.perf_counter() - start
        peak = _peak_mb("self")
        np.save(self.folder / TOTAL, total)
        return Stage(seconds, total.nbytes, peak, workers.highest_mb)

    def add_in_clear(self) -> None:
        """The mean of the same integers without encryption is in the folder."""
        clear = clear_exchange(self.federation, self.variant.bits)
        sites = self.federation.names
        total = clear.add([clear.encrypt(site, self.federation.update(site)) for site in sites])
        np.save(self.folder / MEAN, clear.decrypt(total).mean.numpy())

    def decrypt(self, key: SecretKey) -> tuple[Stage, int]:
        """The last site's work after its upload, and how many parameters of its mean are wrong."""
        exchange = encrypted_exchange(self.federation, self.variant, key, self.processes)
        exchange.codec.load_state(torch.load(self.folder / STATE, weights_only=True))
        message = np.load(self.folder / TOTAL)
        with WorkerPeaks() as workers:
            start = time.perf_counter()
            decoded = exchange.codec.decode(read_payload(message))
            seconds = time.perf_counter() - start
        stage = Stage(seconds, message.nbytes, _peak_mb("self"), workers.highest_mb)
        return stage, int(np.count_nonzero(decoded.mean.numpy() != np.load(self.folder / MEAN)))


def _in_own_process(work: Callable[..., Result], argument: object) -> Result:
    """What `work(argument)` returns in a fresh process, which inherits no memory from this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, argument).result()


def _worker_peak_mb(child: psutil.Process) -> float | None:
    """The peak of a child that is a worker; None for any other, and for one that just ended.

    Between fork and exec a child shows its parent's memory, and its parent's command line too.
    """
    try:
        return _peak_mb(child.pid) if any(WORKER in part for part in child.cmdline()) else None
    except psutil.Error:
        return None


def _peak_mb(process: int | Literal["self"]) -> float | None:
    """The most that the process ever held, in 10 ** 6 bytes; None where nobody tells."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    kibibytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kibibytes[0]) * 1024 / 1e6 if kibibytes else None
