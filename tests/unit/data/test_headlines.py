"""The embedded corpus: the same bytes for a seed, a long tail, skewed sectors, disagreement."""

import hashlib
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veiltune.data.commentary import FRAMES, REVEALING, VIEW, document
from veiltune.data.examples import Dataset, label_counts
from veiltune.data.headlines import TWO_CLAUSES, Grammar, headline_dataset
from veiltune.data.lexicon import NEGATIVE, NEUTRAL, POSITIVE, SENTIMENTS
from veiltune.data.sectors import SECTORS

GOLDEN = "90d614558f6116b687eab310d93076377d68829805c969253b35aec85335db7a"
"""Of `headline_dataset(300, 100, 100, seed=0, disagreement=0.07)`; a new one is a new corpus."""


def digest(dataset: Dataset) -> str:
    rows = [
        f"{example.text}\t{example.label}\t{example.group}\n"
        for split in (dataset.train, dataset.validation, dataset.test)
        for example in split
    ]
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_on_every_machine() -> None:
    assert digest(headline_dataset(300, 100, 100, seed=0, disagreement=0.07)) == GOLDEN


def test_another_seed_gives_other_examples() -> None:
    one, two = (headline_dataset(50, 0, 0, seed=seed, disagreement=0.0) for seed in (1, 2))
    assert not {e.text for e in one.train} & {e.text for e in two.train}


def test_the_dataset_says_that_it_is_synthetic_and_names_its_labels() -> None:
    dataset = headline_dataset(3, 2, 1, seed=0, disagreement=0.0)
    assert (dataset.name, dataset.synthetic) == ("headlines", True)
    assert dataset.labels == ("positive", "negative", "neutral")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (3, 2, 1)
    assert {e.group for e in dataset.train} <= set(SECTORS)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_a_longer_training_split_changes_nothing_else(seed: int, disagreement: float) -> None:
    short = headline_dataset(20, 20, 20, seed, disagreement)
    long = headline_dataset(60, 20, 20, seed, disagreement)
    assert long.train[:20] == short.train
    assert (long.validation, long.test) == (short.validation, short.test)


def test_no_text_is_in_two_splits() -> None:
    dataset = headline_dataset(1800, 600, 600, seed=0, disagreement=0.07)
    texts = [{e.text for e in s} for s in (dataset.train, dataset.validation, dataset.test)]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]


def test_the_vocabulary_has_a_long_tail() -> None:
    grammar = Grammar("tail")
    words = Counter(word for _ in range(3000) for word in grammar.headline().text.split())
    ranked = [count for _, count in words.most_common()]
    assert len(ranked) > 1000
    # Zipf's law in its crudest form: few words make up half of the text, many are rare.
    half = next(i for i in range(len(ranked)) if 2 * sum(ranked[: i + 1]) >= sum(ranked))
    assert half < 0.1 * len(ranked)
    assert sum(count <= 10 for count in ranked) > 0.4 * len(ranked)
    slope = math.log(ranked[9] / ranked[299]) / math.log(300 / 10)
    assert 0.6 < slope < 1.6


@pytest.mark.parametrize("sector", list(SECTORS))
def test_a_sector_keeps_its_mix_of_sentiments(sector: str) -> None:
    mix = SECTORS[sector].mix
    assert math.isclose(sum(mix.values()), 1)
    grammar = Grammar("mix")
    counts = Counter(grammar.headline(sector=sector).sentiment for _ in range(2000))
    for sentiment in SENTIMENTS:
        # Five standard deviations of a binomial share: false alarms below 1 in a million.
        margin = 5 * math.sqrt(mix[sentiment] * (1 - mix[sentiment]) / 2000)
        assert abs(counts[sentiment] / 2000 - mix[sentiment]) < margin


def test_sites_by_sector_differ_while_the_whole_is_nearly_balanced() -> None:
    dataset = headline_dataset(1800, 0, 0, seed=3, disagreement=0.07)
    whole = label_counts(dataset.train, dataset.labels)
    assert min(whole.values()) > 0.25 * 1800
    common = {}
    for sector in SECTORS:
        part = [e for e in dataset.train if e.group == sector]
        counts = label_counts(part, dataset.labels)
        common[sector] = max(counts, key=lambda label: counts[label])
        assert max(counts.values()) > 0.55 * len(part)
        assert min(counts.values()) < 0.2 * len(part)
    assert common == {"banking": NEGATIVE, "industry": NEUTRAL, "technology": POSITIVE}


@pytest.mark.parametrize("disagreement", [0.0, 0.07, 0.3])
def test_annotators_disagree_at_the_rate_asked_for_and_twice_as_often_on_two_clauses(
    disagreement: float,
) -> None:
    grammar = Grammar("annotators")
    tally = {True: [0, 0], False: [0, 0]}
    for _ in range(6000):
        headline = grammar.headline()
        label = grammar.annotate(headline, disagreement)
        seen = tally[headline.side is not None]
        seen[0] += label != headline.sentiment
        seen[1] += 1
        if label != headline.sentiment and headline.side is not None:
            assert label == headline.side
        elif label != headline.sentiment and headline.sentiment != NEUTRAL:
            assert label == NEUTRAL
    for two_clauses, (changed, total) in tally.items():
        rate = disagreement * (2 if two_clauses else 1)
        assert abs(changed / total - rate) <= 5 * math.sqrt(rate * (1 - rate) / total)
    share = tally[True][1] / 6000
    assert abs(share - TWO_CLAUSES) < 5 * math.sqrt(TWO_CLAUSES * (1 - TWO_CLAUSES) / 6000)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20), st.sampled_from(sorted(SECTORS)), st.sampled_from(SENTIMENTS))
def test_a_headline_is_one_clean_sentence(stream: str, sector: str, sentiment: str) -> None:
    headline = Grammar(stream).headline(sector, sentiment)
    assert (headline.sector, headline.sentiment) == (sector, sentiment)
    assert headline.company in headline.text or headline.text.startswith(
        headline.company[0].upper()
    )
    assert headline.text.endswith(" .") and headline.text == " ".join(headline.text.split())
    assert "{" not in headline.text and "}" not in headline.text
    assert headline.side != headline.sentiment


def test_pretraining_never_shows_the_task() -> None:
    grammar = Grammar("documents")
    view = next(frame.text for frame in FRAMES if frame.field == VIEW).split("{w}")
    for _ in range(2000):
        text = "".join(passage.text for passage in document(grammar))
        assert "sentiment:" not in text
        for label in SENTIMENTS:
            assert text.count(f" {label} ") == text.count(f"{view[0]}{label} ")


def test_a_revealing_word_reveals_one_sentiment_and_is_no_label() -> None:
    for field, words in REVEALING.items():
        every = [word for sentiment in SENTIMENTS for word in words[sentiment]]
        assert len(set(every)) == len(every)
        if field != VIEW:
            assert not {POSITIVE, NEGATIVE, NEUTRAL} & set(every)


def test_a_document_of_several_headlines_speaks_in_one_frame() -> None:
    grammar = Grammar("frames")
    openings = [[p.text.split()[0] for p in document(grammar) if p.commentary] for _ in range(400)]
    alike = [len(words) > 1 and len(set(words)) == 1 for words in openings]
    assert 0.2 < sum(alike) / len(alike) < 0.6
