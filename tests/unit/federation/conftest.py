"""Three sites with a few synthetic rows over one tiny model, and a server, all in one folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from veiltune.adapter import AdapterConfig, PromptEncoder, build_encoder
from veiltune.backbone import BackboneConfig, FrozenModel, HuggingFaceModel, load_backbone
from veiltune.data.encoding import EncodedExamples
from veiltune.federation import Coordinator, PlainCodec, PlainSum, Site, run_inline
from veiltune.randomness import generator
from veiltune.records import RunFolder
from veiltune.training import EvaluationConfig, LocalTrainer, PlainGradient, TrainingConfig

JOB = "a-run"
SEED = 7
ROWS = {"site-1": 11, "site-2": 5, "site-3": 8}
TRAINING = TrainingConfig(batch_size=4)


def rows(count: int, seed: int) -> EncodedExamples:
    draw = torch.Generator().manual_seed(seed)
    contexts = [torch.randint(0, 300, (2 + i % 5,), generator=draw).tolist() for i in range(count)]
    return EncodedExamples(contexts, [ids[0] % 3 for ids in contexts], 0, ((5,), (6,), (7, 8)))


class Rule(PlainGradient):
    """The plain rule, with something that happens in a site's round before training."""

    def __init__(self, site: str, before: Callable[[str, int], None]) -> None:
        self.site = site
        self.before = before

    def begin_round(self, round_index: int, examples: int, steps: int) -> float:
        self.before(self.site, round_index)
        return float("nan")


def nothing(site: str, round_index: int) -> None:
    """What happens before training in an ordinary round."""


@dataclass
class Federation:
    """A job in `path`. Sites and coordinator are built anew on each call, as new processes do."""

    path: Path
    model: FrozenModel
    rounds: int = 4
    min_sites: int = 2
    training: TrainingConfig = TRAINING
    before: Callable[[str, int], None] = nothing
    names: Sequence[str] = field(default_factory=lambda: tuple(ROWS))

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    def encoder(self) -> PromptEncoder:
        config = AdapterConfig(virtual_tokens=3, hidden_size=8)
        return build_encoder(config, self.model.width, generator(SEED, "adapter"))

    def rows(self, site: str) -> EncodedExamples:
        return rows(ROWS[site], seed=int(site[-1]))

    def site(self, name: str, frozen: str | None = None) -> Site:
        rule = Rule(name, self.before)
        trainer = LocalTrainer(
            self.model, self.encoder(), self.rows(name), self.training, rule, self.rounds
        )
        return Site(
            name,
            JOB,
            SEED,
            trainer,
            rows(6, seed=100),
            rows(6, seed=101),
            PlainCodec(),
            EvaluationConfig(),
            self.folder.site(name),
            frozen or self.model.fingerprint(),
            self.min_sites,
            lambda: None,
        )

    def sites(self) -> list[Site]:
        return [self.site(name) for name in self.names]

    def coordinator(self) -> Coordinator:
        return Coordinator(
            PlainSum(), self.folder.server, JOB, self.names, self.min_sites, self.rounds
        )

    def run(self, workers: int = 1, tick: Callable[[], None] = lambda: None) -> "Federation":
        run_inline(self.sites(), self.coordinator(), workers, tick)
        return self

    def adapters(self) -> set[str]:
        """The hashes of the final adapters of the sites that finished."""
        finals = self.folder.finals(self.names)
        return {final["adapter_sha256"] for final in finals.values()}

    def missing(self) -> dict[int, dict[str, str]]:
        """Who was missing, and why, by round."""
        outcomes = self.folder.outcomes()
        return {entry["round"]: entry["missing"] for entry in outcomes if entry["missing"]}


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> HuggingFaceModel:
    return load_backbone(BackboneConfig(name=str(tiny_model), device="cpu"))


@pytest.fixture
def federation(tmp_path: Path, model: HuggingFaceModel) -> Callable[..., Federation]:
    """Makes a federation in a folder of its own, by name."""

    def make(name: str = "job", **changes: object) -> Federation:
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        return Federation(path, **{"model": model, **changes})  # type: ignore[arg-type]  # its fields

    return make


@pytest.fixture
def undisturbed(federation: Callable[..., Federation]) -> str:
    """The final adapter's hash of a job in which nothing happens."""
    (adapter,) = federation("undisturbed").run().adapters()
    return str(adapter)
