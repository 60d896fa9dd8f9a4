"""The ablations: clipping and noise, the number of sites, label skew, and quantisation."""

from pathlib import Path

from veiltune_analysis.figures.swept import Column, Layout, draw_swept
from veiltune_analysis.tables import SweepRecord

EPSILON = Column("privacy.example_level.epsilon", prefix="epsilon ", none="no privacy")
SPACE = Column(
    "privacy.example_level.space",
    names={
        "output": "clipped: gradients of the virtual tokens",
        "encoder": "clipped: gradients of the encoder",
    },
)


def clip_and_noise(record: SweepRecord, folder: Path) -> tuple[Path, ...]:
    """Final loss against the clip norm, a line an epsilon, a panel a space.

    The noise of a step has standard deviation clip norm times noise multiplier, and the multiplier
    follows from epsilon.
    """
    note = "A step's noise has standard deviation clip norm x noise multiplier, which epsilon sets."
    layout = Layout(
        Column("privacy.example_level.clip_norm"), "clip norm", EPSILON, SPACE, note=note
    )
    return draw_swept(record, layout, folder)


def sites(record: SweepRecord, folder: Path) -> tuple[Path, ...]:
    """Final loss against the number of sites that share the same data, with privacy and without."""
    note = "The same training examples are dealt to more sites, which so have fewer each."
    layout = Layout(Column("data.partition.sites"), "number of sites", EPSILON, note=note)
    return draw_swept(record, layout, folder)


def skew(record: SweepRecord, folder: Path) -> tuple[Path, ...]:
    """Final loss against label skew, federated and the mean over the sites that stay alone."""
    arms = Column("arm", names={"federated": "federated", "alone": "alone (mean of sites)"})
    note = "The smaller alpha, the more the sites differ in their labels."
    layout = Layout(Column("data.partition.alpha"), "Dirichlet alpha", arms, note=note)
    return draw_swept(record, layout, folder)


def bits(record: SweepRecord, folder: Path) -> tuple[Path, ...]:
    """Final loss against the bits of a quantised value; `none` sends float32."""
    note = "none: updates are sent as float32."
    column = Column("bits")
    layout = Layout(column, "bits a value", EPSILON, by_name=True, note=note)
    return draw_swept(record, layout, folder)
