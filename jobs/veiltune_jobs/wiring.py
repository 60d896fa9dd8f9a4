"""Builds the parts of a job from its specification: the one place where sections meet.

`build_site` and `build_coordinator` are what a process of the NVFlare engine is told to call, with
a run's folder; the inline engine builds the same parts in one process over one frozen model.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from veiltune.adapter import build_encoder, encoder_parameters
from veiltune.backbone import FrozenModel, load_backbone
from veiltune.data import Dataset, EncodedExamples, Example, Template, encode, partition
from veiltune.data import load_dataset as read_dataset
from veiltune.federation import Coordinator, Site
from veiltune.randomness import generator
from veiltune.records import RunFolder
from veiltune.training import LocalTrainer
from veiltune_jobs import exchange, private_training
from veiltune_jobs.job import CENTRAL, JobSpec, load_job
from veiltune_jobs.tracking import measurements_sent


@dataclass(frozen=True)
class Corpus:
    """A job's data, dealt to its sites."""

    dataset: Dataset
    shards: dict[str, tuple[Example, ...]]
    """Each taking-part site's training examples."""

    def average_examples(self) -> float:
        """Training examples of a site, on average."""
        return sum(map(len, self.shards.values())) / len(self.shards)


def load_corpus(spec: JobSpec) -> Corpus:
    """The data of `spec`, checked and dealt.

    Raises:
        DataError: the data cannot be used as they are.
    """
    dataset = read_dataset(spec.data, spec.seed)
    shards = partition(dataset.train, spec.data.partition, spec.seed)
    if spec.federation.arm == "centralised":
        return Corpus(dataset, {CENTRAL: sum(shards.values(), ())})
    return Corpus(dataset, {site: shards[site] for site in spec.sites()})


def encode_examples(
    spec: JobSpec, model: FrozenModel, corpus: Corpus, examples: tuple[Example, ...]
) -> EncodedExamples:
    """The examples as token ids for this job's template and model."""
    return encode(
        examples,
        corpus.dataset.labels,
        Template.parse(spec.data.template),
        model.tokenizer,
        model.window,
        spec.adapter.virtual_tokens,
    )


def make_site(
    spec: JobSpec, folder: RunFolder, model: FrozenModel, frozen: str, corpus: Corpus, name: str
) -> Site:
    """The site `name` of the run in `folder`; `frozen` is the model's fingerprint."""
    key = exchange.site_key(spec, folder, name, model.width)
    rows = corpus.shards[name]
    allowed = private_training.budget(spec, len(rows))
    charge = private_training.site_charge(spec, folder, name, rows, allowed)
    encoder = build_encoder(spec.adapter, model.width, generator(spec.seed, "adapter"))
    trainer = LocalTrainer(
        model,
        encoder.to(model.device),
        encode_examples(spec, model, corpus, rows),
        spec.training,
        private_training.make_rule(spec, name, allowed, charge),
        spec.federation.rounds,
    )
    return Site(
        name,
        folder.path.name,
        spec.seed,
        trainer,
        encode_examples(spec, model, corpus, corpus.dataset.validation),
        encode_examples(spec, model, corpus, corpus.dataset.test),
        exchange.make_codec(
            spec,
            model.width,
            corpus.average_examples(),
            key,
            partial(exchange.retire_key, folder, name),
        ),
        spec.evaluation,
        folder.site(name),
        frozen,
        spec.min_sites(),
        private_training.admission(
            spec, name, allowed, encoder_parameters(spec.adapter, model.width), trainer
        ),
        measurements_sent(spec),
    )


def make_coordinator(spec: JobSpec, folder: RunFolder) -> Coordinator:
    """The server's part of the run in `folder`."""
    return Coordinator(
        exchange.make_addition(spec, exchange.public_part(spec, folder)),
        folder.server,
        folder.path.name,
        spec.sites(),
        spec.min_sites(),
        spec.federation.rounds,
    )


def build_site(run: str, name: str) -> Site:
    """The site `name` of the run whose folder is `run`, in a process of its own."""
    folder = RunFolder(Path(run))
    spec = load_job(folder.spec)
    torch.set_num_threads(spec.runtime.threads)
    model = load_backbone(spec.backbone)
    return make_site(spec, folder, model, model.fingerprint(), load_corpus(spec), name)


def build_coordinator(run: str) -> Coordinator:
    """The coordinator of the run whose folder is `run`, in the server's process."""
    folder = RunFolder(Path(run))
    return make_coordinator(load_job(folder.spec), folder)
