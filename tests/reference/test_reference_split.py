"""The split and the three sites of the reference experiment (NVFlare's NeMo prompt learning).

The counts of the real file were found with the reference's own calls (`random.seed(1234)`,
`random.shuffle`; pandas `sample(frac=1, random_state=0)`, `numpy.array_split`). The synthetic
stand-in has as many rows and faces the same calls, made here.
"""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from veiltune.data.examples import label_counts
from veiltune.data.partition import PartitionConfig, partition
from veiltune.data.phrasebank import PHRASEBANK_LABELS, phrasebank_dataset
from veiltune.data.source import DataConfig, duplicates_across_splits, load_dataset

REAL = Path(__file__).parents[2] / "../shared/data/financial_phrasebank/Sentences_AllAgree.txt"


@pytest.fixture
def real() -> Path:
    if not REAL.is_file():
        pytest.skip("needs Sentences_AllAgree.txt in ../shared/data/financial_phrasebank")
    return REAL


def test_real_file(real: Path) -> None:
    dataset = load_dataset(DataConfig(path=real), seed=5)
    counts = [
        label_counts(part, ("neutral", "positive", "negative"))
        for part in (dataset.train, dataset.validation, dataset.test)
    ]
    assert [tuple(count.values()) for count in counts] == [
        (1107, 458, 246),
        (147, 53, 26),
        (137, 59, 31),
    ]
    assert duplicates_across_splits(dataset) == {
        "train_validation": 1,
        "train_test": 1,
        "validation_test": 0,
    }


def test_real_sites(real: Path) -> None:
    dataset = load_dataset(DataConfig(path=real), seed=5)
    sites = partition(dataset.train, DataConfig().partition, seed=5)
    assert {site: len(part) for site, part in sites.items()} == {
        "site-1": 604,
        "site-2": 604,
        "site-3": 603,
    }
    frame = pd.DataFrame({"sentence": [example.text for example in dataset.train]})
    shuffled = frame.sample(frac=1, random_state=0)["sentence"].to_numpy()
    for part, expected in zip(sites.values(), np.array_split(shuffled, 3), strict=True):
        assert [example.text for example in part] == expected.tolist()


def test_synthetic_stand_in(tmp_path: Path) -> None:
    file = tmp_path / "Sentences_AllAgree.txt"
    lines = [f"synthetic {row}@{PHRASEBANK_LABELS[row % 3]}\n" for row in range(2264)]
    file.write_text("".join(lines))
    dataset = phrasebank_dataset(file)

    state = random.getstate()
    random.seed(1234)
    random.shuffle(lines)
    random.setstate(state)
    texts = [line.split("@")[0] for line in lines]
    assert [example.text for example in dataset.train] == texts[:1811]
    assert [example.text for example in dataset.validation] == texts[1811:2037]
    assert [example.text for example in dataset.test] == texts[2037:]

    sites = partition(dataset.train, PartitionConfig(), seed=9)
    frame = pd.DataFrame({"sentence": texts[:1811]}).sample(frac=1, random_state=0)
    expected = np.array_split(frame["sentence"].to_numpy(), 3)
    assert [len(part) for part in expected] == [604, 604, 603]
    assert [[e.text for e in part] for part in sites.values()] == [p.tolist() for p in expected]
