"""A site: takes in the sums it lacks, evaluates, trains, and answers with an encoded update.

The same object runs under both engines. Everything random in it comes from the job's seed, the
site's name and the round, and everything it needs later is on its disk before it answers.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from veiltune.adapter import flatten, save_adapter, unflatten, vector_sha256
from veiltune.data.encoding import EncodedExamples
from veiltune.errors import DataError, RunError, VeiltuneError, Withdrawal
from veiltune.federation.codec import UpdateCodec
from veiltune.federation.messages import Reply, Task
from veiltune.federation.payload import BEGINNING, Origin, Payload, extend_history, read_payload
from veiltune.federation.site_state import (
    FINAL_FILE,
    SiteState,
    append_row,
    load_state,
    note_failure,
)
from veiltune.randomness import generator
from veiltune.training import EvaluationConfig, LocalTrainer, evaluate

NOT_MEASURED = float("nan")


@dataclass
class Measurements:
    """One row of the run's table: what a site measured and spent in one round."""

    round: int
    site: str
    global_loss: float = NOT_MEASURED
    global_accuracy: float = NOT_MEASURED
    local_loss: float = NOT_MEASURED
    local_accuracy: float = NOT_MEASURED
    train_loss: float = NOT_MEASURED
    examples: int = 0
    steps: int = 0
    seconds_evaluate: float = 0.0
    seconds_train: float = 0.0
    seconds_encode: float = 0.0
    seconds_decode: float = 0.0
    upload_bytes: int = 0
    download_bytes: int = 0
    clipped: int = 0
    """Parameters of this round's update out of the codec's range; the rest follows later."""
    error_bound: float = 0.0
    """How far rounding can have moved a parameter of the sums taken in, if none was clipped."""
    epsilon: float = NOT_MEASURED


def reason_for(error: Exception) -> str:
    """What the server is told of a failure at a site.

    Only our own sentences may leave: another library's message can quote its input, and ours about
    data files quote columns and labels.
    """
    if isinstance(error, VeiltuneError) and not isinstance(error, DataError):
        return str(error)
    return f"it failed with {type(error).__name__}"


class Site:
    """One owner of private text.

    Args:
        name: The site's name in the job.
        job: The run's id; payloads of another run are refused.
        seed: The job's seed.
        trainer: Trains the site's encoder on the site's examples. The encoder's weights at this
            moment are the job's first global state, equal at every site.
        validation, test: Examples that are measured and never trained on.
        codec: Encodes this site's updates and decodes the sums.
        evaluation: What is measured, and when.
        folder: The site's own folder for its state, its log and its adapters.
        frozen_sha256: The frozen model's fingerprint when the job began.
        min_sites: The fewest sites in a sum that this site takes in.
        admit: Raises if the site's own rules forbid this job; asked before each task.
        sent: The measurements that leave this site in clear, by name; none unless named.
    """

    def __init__(
        self,
        name: str,
        job: str,
        seed: int,
        trainer: LocalTrainer,
        validation: EncodedExamples,
        test: EncodedExamples,
        codec: UpdateCodec,
        evaluation: EvaluationConfig,
        folder: Path,
        frozen_sha256: str,
        min_sites: int,
        admit: Callable[[], None],
        sent: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.job = job
        self.seed = seed
        self.trainer = trainer
        self.validation = validation
        self.test = test
        self.codec = codec
        self.evaluation = evaluation
        self.folder = folder
        self.frozen_sha256 = frozen_sha256
        self.min_sites = min_sites
        self.admit = admit
        self.sent = sent
        self._measured: Measurements | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._start = flatten(trainer.encoder)
        self._take_up_state()

    def answer(self, task: Task) -> Reply:
        """The reply to `task`; a failure becomes a reason that names no private text.

        After a failure the site stands where it stood before the task, so that a later round can
        go on as if this one had not been tried.
        """
        try:
            return self.run(task)
        except Exception as error:
            note_failure(self.folder, task.round, error)
            self._take_up_state()
            withdrawn = isinstance(error, Withdrawal)
            reason = reason_for(error)
            return Reply(self.name, task.round, self.state.applied, None, reason, withdrawn)

    def run(self, task: Task) -> Reply:
        """Does what `task` asks.

        Raises:
            VeiltuneError: the round cannot be done at this site.
        """
        self._measured = None
        self.admit()
        row = Measurements(task.round, self.name, examples=len(self.trainer.examples.context_ids))
        self._take_in(task, row)
        if self.state.applied < task.round:
            lacking = f"the sums from round {self.state.applied} to {task.round - 1}"
            return self._reply(task, reason=f"it lacks {lacking} and asks for them")
        if task.closing:
            if not (self.folder / FINAL_FILE).exists():
                self._close(task, row)
            return self._reply(task)
        if self.state.trained == task.round:
            self._train(task, row)
        return self._reply(task, send=True)

    def measurements_sent(self) -> dict[str, float]:
        """What the latest task measured, of that which leaves this site in clear.

        Nothing after a task that failed, was refused or had been done before, and no measurement
        that was not made.
        """
        row = asdict(self._measured) if self._measured else {}
        sent = {name: float(row[name]) for name in self.sent if name in row}
        return {name: value for name, value in sent.items() if math.isfinite(value)}

    def _take_in(self, task: Task, row: Measurements) -> None:
        """Adds the sums that follow what the site has, in the order of rounds."""
        start = time.perf_counter()
        for index in sorted(task.sums):
            row.download_bytes += task.sums[index].nbytes
            if index == self.state.applied:
                self._apply(task.sums[index], index, row)
        # A site that missed rounds has not trained them and never will.
        self.state.trained = max(self.state.trained, self.state.applied)
        row.seconds_decode = time.perf_counter() - start

    def _apply(self, total: Payload, index: int, row: Measurements) -> None:
        header = total.header
        expected = (self.job, index, self.state.history)
        if (header.job, header.round, header.history) != expected:
            raise RunError(
                f"the sum of round {index} of job {self.job} after the sums before it was "
                f"expected, got one of round {header.round} of job {header.job}"
                f"{', after other sums' if header.history != self.state.history else ''}"
            )
        if sorted(set(header.sites)) != list(header.sites) or len(header.sites) < self.min_sites:
            raise RunError(
                f"a sum of at least {self.min_sites} different sites was expected, got one of "
                f"{', '.join(header.sites)}; a sum of fewer would tell too much of each"
            )
        decoded = self.codec.decode(total)
        row.error_bound = max(row.error_bound, decoded.error_bound)
        self.state.global_vector += decoded.mean
        self.state.history = extend_history(self.state.history, total)
        self.state.applied += 1

    def _train(self, task: Task, row: Measurements) -> None:
        """Trains one round from the global state and leaves the update in the outbox."""
        if self.evaluation.due(task.round, task.rounds):
            self._evaluate_global(row)
        unflatten(self.trainer.encoder, self.state.global_vector)
        start = time.perf_counter()
        done = self.trainer.train(task.round, generator(self.seed, "train", self.name, task.round))
        row.seconds_train = time.perf_counter() - start
        row.train_loss, row.steps, row.epsilon = done.loss, done.steps, done.epsilon
        local = flatten(self.trainer.encoder)
        if self.evaluation.local_model and self.evaluation.due(task.round, task.rounds):
            start = time.perf_counter()
            row.local_loss, row.local_accuracy = self._evaluate(self.validation)
            row.seconds_evaluate += time.perf_counter() - start
        start = time.perf_counter()
        origin = Origin(self.job, task.round, self.name, self.state.history)
        encoded = self.codec.encode(local - self.state.global_vector, float(row.examples), origin)
        row.seconds_encode = time.perf_counter() - start
        row.upload_bytes = encoded.payload.nbytes
        row.clipped = encoded.clipped
        self.state.trained = task.round + 1
        self.state.local_vector = local
        self.state.optimizer = self.trainer.state()
        self.state.outbox = torch.from_numpy(encoded.payload.to_array())
        append_row(self.folder, asdict(row))
        self._save()
        self._measured = row

    def _close(self, task: Task, row: Measurements) -> None:
        """Measures the final global adapter and writes it, and the site's own, to disk."""
        self._evaluate_global(row)
        test_loss, test_accuracy = self._evaluate(self.test)
        model = self.trainer.model
        save_adapter(self.trainer.encoder, self.folder / "adapter", model.name)
        unflatten(self.trainer.encoder, self.state.local_vector)
        save_adapter(self.trainer.encoder, self.folder / "own_adapter", model.name)
        if model.fingerprint() != self.frozen_sha256:
            raise RunError(
                "the frozen model's weights must be the same after a job as before, but they "
                "changed; nothing of this job can be trusted"
            )
        append_row(self.folder, asdict(row))
        final = {
            "site": self.name,
            "adapter_sha256": vector_sha256(self.state.global_vector),
            "frozen_sha256": self.frozen_sha256,
            "val_loss": row.global_loss,
            "val_accuracy": row.global_accuracy,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "truncated": self.trainer.examples.truncated,
        }
        (self.folder / FINAL_FILE).write_text(json.dumps(final, indent=2) + "\n")
        self._save()
        self._measured = row

    def _save(self) -> None:
        self.state.codec = self.codec.state()
        self.state.save(self.folder)

    def _evaluate_global(self, row: Measurements) -> None:
        start = time.perf_counter()
        unflatten(self.trainer.encoder, self.state.global_vector)
        row.global_loss, row.global_accuracy = self._evaluate(self.validation)
        row.seconds_evaluate += time.perf_counter() - start

    def _evaluate(self, examples: EncodedExamples) -> tuple[float, float]:
        with torch.no_grad():
            prompt = self.trainer.encoder()
        result = evaluate(self.trainer.model, prompt, examples, self.evaluation.batch_size)
        return result.loss, result.accuracy

    def _reply(self, task: Task, *, send: bool = False, reason: str | None = None) -> Reply:
        update = read_payload(self.state.outbox.numpy()) if send else None
        return Reply(self.name, task.round, self.state.applied, update, reason)

    def _take_up_state(self) -> None:
        """Stands where the disk says, or at the job's beginning."""
        unflatten(self.trainer.encoder, self._start)
        fresh: dict[str, Any] = self.trainer.fresh_state()
        self.state = load_state(self.folder) or SiteState(
            applied=0,
            history=BEGINNING,
            trained=0,
            global_vector=self._start.clone(),
            local_vector=self._start.clone(),
            optimizer=fresh,
            codec={},
            outbox=torch.empty(0, dtype=torch.uint8),
        )
        self.trainer.load_state(self.state.optimizer)
        self.codec.load_state(self.state.codec)
