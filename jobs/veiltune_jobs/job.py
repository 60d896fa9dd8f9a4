"""A job: every section of a specification, each defined beside the code it configures."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

import veiltune
import veiltune_privacy
from veiltune.adapter import AdapterConfig
from veiltune.backbone import EMBEDDED, BackboneConfig, backbone_identity
from veiltune.config import Section
from veiltune.data import DataConfig, site_names
from veiltune.federation import FederationConfig
from veiltune.federation.nvflare.tracking import Tracker
from veiltune.records import sources_sha256
from veiltune.training import EvaluationConfig, TrainingConfig
from veiltune_jobs.specification import load, specification_hash
from veiltune_privacy.config import PrivacyConfig

CENTRAL = "central"
"""The one site of the arm `centralised`."""


class RuntimeConfig(Section):
    """Where and how a job runs. Nothing here can change a result (threads: beyond rounding)."""

    engine: Literal["nvflare", "inline"] = "nvflare"
    """`nvflare`: every site a process of its own; `inline`: all sites in this process."""
    output: Path = Path("runs")
    """The folder under which runs are recorded."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of each site. Results are bitwise equal at equal thread counts."""
    parallel_sites: int | None = Field(default=None, ge=1)
    """Sites that work at the same time; None means all of them."""
    poll_s: float | None = Field(default=0.05, gt=0)
    """Seconds between two questions of a site to the server; None keeps NVFlare's defaults."""
    policies: Path | None = None
    """A folder with the sites' own policies, `<site>.yaml`, each read by its site alone; None asks
    no policy. A site whose policy is missing there takes part in nothing."""
    progress: bool = True
    """Show progress while the job runs."""
    tracking: Tracker = "none"
    """Whether the sites send measurements, in clear, for the server to write into the run's folder
    as it goes: for TensorBoard or for MLflow."""

    @model_validator(mode="after")
    def _tracking_is_nvflares(self) -> "RuntimeConfig":
        if self.tracking != "none" and self.engine == "inline":
            raise ValueError(
                f"tracking must be none under engine inline, got {self.tracking}; it is NVFlare's, "
                f"so set engine to nvflare, or read the run's rounds.parquet"
            )
        return self


class JobSpec(Section):
    """Everything that describes a job."""

    name: str = Field(default="job", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The job's name: the folder of its runs."""
    seed: int = Field(default=1, ge=0)
    """The seed from which every random draw of the job is derived."""
    data: DataConfig = DataConfig()
    backbone: BackboneConfig = BackboneConfig()
    adapter: AdapterConfig = AdapterConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    federation: FederationConfig = FederationConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _sites_exist(self) -> "JobSpec":
        partitioned = site_names(self.data.partition.sites)
        alone, min_sites = self.federation.alone_site, self.federation.min_sites
        if alone is not None and alone not in partitioned:
            raise ValueError(
                f"federation.alone_site must be one of {', '.join(partitioned)}, got {alone!r}; "
                f"name one of them or raise data.partition.sites"
            )
        if min_sites is not None and min_sites > len(self.sites()):
            raise ValueError(
                f"federation.min_sites must be at most {len(self.sites())}, the number of sites "
                f"in this job, got {min_sites}"
            )
        room = self.privacy.encryption.max_sites
        if room is not None and room < len(self.sites()):
            raise ValueError(
                f"privacy.encryption.max_sites must be at least {len(self.sites())}, the number of "
                f"sites in this job, got {room}; raise it or leave it out"
            )
        return self

    def sites(self) -> tuple[str, ...]:
        """The names of the sites that take part."""
        if self.federation.arm == "centralised":
            return (CENTRAL,)
        if self.federation.alone_site is not None:
            return (self.federation.alone_site,)
        return site_names(self.data.partition.sites)

    def min_sites(self) -> int:
        """The fewest sites with which a round counts."""
        return self.federation.min_sites or len(self.sites())


def load_job(path: Path, overrides: Sequence[str] = ()) -> JobSpec:
    """The job in the YAML file at `path` under `overrides` such as `training.batch_size=16`.

    Raises:
        SpecificationError: with every fault of the file and the overrides.
    """
    return load(JobSpec, path, overrides)


def run_id(spec: JobSpec, data_sha256: str) -> str:
    """Twelve hexadecimal digits of what determines a result: specification, data, seed and code.

    Data and model count by their content, not by where they lie. The code's part is the content
    of the packages that compute, so editing them starts new runs and never mixes old with new.
    """
    data = spec.data.model_copy(update={"path": None, "source": spec.data.resolved_source()})
    backbone = spec.backbone.model_copy(update={"name": backbone_identity(spec.backbone)})
    content = spec.model_copy(update={"data": data, "backbone": backbone})
    roots = [Path(package.__file__ or "").parent for package in (veiltune, veiltune_privacy)]
    parts = [specification_hash(content), data_sha256, sources_sha256(roots)]
    return sha256("".join(parts).encode()).hexdigest()[:12]


def with_absolute_paths(spec: JobSpec) -> JobSpec:
    """The same job, readable from any working directory."""
    path, name = spec.data.path, spec.backbone.name
    local = name != EMBEDDED and Path(name).expanduser().is_dir()
    sections: dict[str, Section] = {
        "data": spec.data.model_copy(update={"path": _absolute(path)}),
        "runtime": spec.runtime.model_copy(
            update={
                "output": spec.runtime.output.expanduser().absolute(),
                "policies": _absolute(spec.runtime.policies),
            }
        ),
    }
    private = spec.privacy.example_level
    if private.ledger is not None:
        shared = private.model_copy(update={"ledger": _absolute(private.ledger)})
        sections["privacy"] = spec.privacy.model_copy(update={"example_level": shared})
    if local:
        folder = str(Path(name).expanduser().absolute())
        sections["backbone"] = spec.backbone.model_copy(update={"name": folder})
    return spec.model_copy(update=sections)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.expanduser().absolute()
