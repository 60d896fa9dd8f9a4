"""The embedded corpus: synthetic financial headlines with a sentiment, from a seeded grammar.

No headline here was ever published. A program draws them, so that the platform can be tried, tested
and measured without anybody's data; what is learned from them says how the method behaves, nothing
about markets. The same seed gives the same bytes on every machine.

A headline has one clause, or two that disagree ("sales rose although costs rose too"): its
sentiment is then that of the main clause. Sectors differ in their words and in their mix of
sentiments, so a partition by sector makes sites that differ as real ones do. Annotators disagree:
mostly they choose the neighbouring class or the sentiment of the side clause.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from veiltune.data.examples import Dataset, Example
from veiltune.data.lexicon import (
    CONTRASTS,
    DOWN,
    DOWN_ALONE,
    DOWN_OF_GOOD,
    FLAT,
    GENERAL_EVENTS,
    GENERAL_FACTS,
    GENERAL_FIGURES,
    MONTHS,
    NEGATIVE,
    NEUTRAL,
    PEOPLE,
    PERIODS,
    PLACES,
    POSITIVE,
    SENTIMENTS,
    SPEECH,
    UP,
    UP_ALONE,
    UP_OF_GOOD,
    Event,
)
from veiltune.data.sectors import SECTORS

TWO_CLAUSES = 0.18
"""The share of headlines with a side clause of another sentiment."""


@dataclass(frozen=True, slots=True)
class Headline:
    """A headline, what it is about, and how its grammar meant it."""

    text: str
    company: str
    sector: str
    sentiment: str
    side: str | None
    """The sentiment of the side clause; None for a headline of one clause."""
    clear: bool
    """False for wordings that careful readers may take in two ways ("sales did not fall")."""


def headline_dataset(
    train: int, validation: int, test: int, seed: int, disagreement: float
) -> Dataset:
    """Three splits of synthetic headlines; each example's group is its sector.

    Every split comes from a stream of its own, in the order test, validation, train, and skips the
    texts of the splits before it, so no text is in two splits. A longer training split keeps the
    examples of a shorter one and leaves the other splits as they are.

    `disagreement`, in [0, 1], is the probability that the annotator of a one-clause headline does
    not choose its sentiment; for a two-clause headline it is twice that, at most 1.
    """
    taken: set[str] = set()
    splits: dict[str, tuple[Example, ...]] = {}
    for name, count in (("test", test), ("validation", validation), ("train", train)):
        grammar = Grammar(f"{name} {seed}")
        examples: list[Example] = []
        while len(examples) < count:
            headline = grammar.headline()
            label = grammar.annotate(headline, disagreement)
            if headline.text not in taken:
                examples.append(Example(headline.text, label, headline.sector))
        splits[name] = tuple(examples)
        taken.update(example.text for example in examples)
    return Dataset(name="headlines", labels=SENTIMENTS, synthetic=True, **splits)


class Grammar:
    """An endless stream of headlines, fixed by the stream's name."""

    def __init__(self, stream: str) -> None:
        # A string seed goes through SHA-512, so it means the same in every process.
        self.random = random.Random(stream)

    def headline(
        self,
        sector: str | None = None,
        sentiment: str | None = None,
        two_clauses: float = TWO_CLAUSES,
    ) -> Headline:
        """The next headline; sectors are equally common, sentiments follow the sector's mix."""
        sector = sector or self.random.choice(tuple(SECTORS))
        if sentiment is None:
            mix = SECTORS[sector].mix
            sentiment = self.random.choices(tuple(mix), tuple(mix.values()))[0]
        company = self.company(sector)
        plain = sentiment == NEUTRAL and self.random.random() < 0.15
        if plain:
            text, clear = self.fact(company, sector), True
        else:
            text, clear = self._clause(company, sector, sentiment)
        side = None
        if self.random.random() < two_clauses:
            side = self.random.choice([other for other in SENTIMENTS if other != sentiment])
            figure, sure = self._figure(sector, side, amounts=False)
            contrast = self.random.choice(CONTRASTS)
            behind = self.random.random() < 0.5
            text = f"{text} {contrast} {figure}" if behind else f"{contrast} {figure} , {text}"
            clear = clear and sure
        elif not plain and self.random.random() < 0.35:
            text = f"{text} {self._pick(PERIODS)}"
        return Headline(f"{text[0].upper()}{text[1:]} .", company, sector, sentiment, side, clear)

    def fact(self, company: str, sector: str) -> str:
        """A statement about a company without news in it, and without its full stop."""
        own = self.random.random() < 0.4
        facts = SECTORS[sector].facts if own else GENERAL_FACTS
        return self._filled(self.random.choice(facts), company)

    def company(self, sector: str) -> str:
        """The name of a company of the sector."""
        return self._pick(_companies(sector))

    def annotate(self, headline: Headline, disagreement: float) -> str:
        """The label that one annotator gives; see `headline_dataset` for `disagreement`."""
        rate = disagreement if headline.side is None else 2 * disagreement
        if self.random.random() >= rate:
            return headline.sentiment
        if headline.side is not None:
            return headline.side
        if headline.sentiment == NEUTRAL:
            return self.random.choice((POSITIVE, NEGATIVE))
        return NEUTRAL

    def _clause(self, company: str, sector: str, sentiment: str) -> tuple[str, bool]:
        """A clause with the company as its subject, and whether its sentiment is clear."""
        if self.random.random() < 0.5:
            figure, clear = self._figure(sector, sentiment, amounts=True)
            return self._pick(SPEECH).format(c=company, x=figure), clear
        own = self.random.random() < 0.6
        events = SECTORS[sector].events if own else GENERAL_EVENTS
        return f"{company} {self._event(self.random.choice(events[sentiment]))}", True

    def _figure(self, sector: str, sentiment: str, amounts: bool) -> tuple[str, bool]:
        """A statement about a quantity, with the amounts if asked, and whether it is clear."""
        own = self.random.random() < 0.6
        figures = SECTORS[sector].figures if own else GENERAL_FIGURES
        bad = self.random.random() < 0.42
        money = self.random.random() < 0.6
        nouns = (figures.good, figures.bad, figures.good_money, figures.bad_money)[bad + 2 * money]
        noun = self._pick(nouns)
        if sentiment == NEUTRAL:
            if self.random.random() < 0.06:
                return f"{noun} did not {self.random.choice(('rise', 'fall'))}", False
            return f"{noun} {self._pick(FLAT)}", True
        up = (sentiment == POSITIVE) != bad
        kind = self.random.random()
        if kind < 0.04:
            return f"{noun} did not {'fall' if up else 'rise'}", False
        if amounts and money and kind < 0.16:
            new, old = self._amounts(up)
            joint = self._pick(("compared to", "against", "down from" if not up else "up from"))
            return f"{noun} totalled EUR {new} mn , {joint} EUR {old} mn", False
        if self.random.random() < 0.12:
            return f"{noun} {self._pick(UP_ALONE if up else DOWN_ALONE)}", True
        verbs = UP if up else DOWN
        if not bad and self.random.random() < 0.15:
            verbs = UP_OF_GOOD if up else DOWN_OF_GOOD
        text = f"{noun} {self._pick(verbs)}"
        if amounts and self.random.random() < 0.4:
            if money and self.random.random() < 0.6:
                new, old = self._amounts(up)
                return f"{text} to EUR {new} mn from EUR {old} mn", True
            return f"{text} by {self._decimal()} %", True
        return text, True

    def _amounts(self, up: bool) -> tuple[str, str]:
        """A new and an old amount that agree with the direction."""
        low = self.random.randint(2, 60)
        high = low + self.random.randint(1, 30)
        new, old = (high, low) if up else (low, high)
        if self.random.random() < 0.5:
            return str(new), str(old)
        return f"{new}.{self.random.randint(0, 9)}", f"{old}.{self.random.randint(0, 9)}"

    def _decimal(self) -> str:
        """A percentage or a small amount, with a decimal place half of the time."""
        whole = self.random.randint(1, 60)
        return f"{whole}.{self.random.randint(0, 9)}" if self.random.random() < 0.5 else str(whole)

    def _event(self, event: Event) -> str:
        """What a company does: a verb and an object."""
        return f"{self._pick(event.verbs)} {self._filled(self._pick(event.objects))}"

    def _filled(self, pattern: str, company: str = "") -> str:
        """The pattern with names, places, dates and numbers in its slots."""
        text = pattern.replace("{c}", company)
        while (at := text.find("{")) >= 0:
            text = text[:at] + self._slot(text[at + 1]) + text[at + 3 :]
        return text

    def _slot(self, key: str) -> str:
        """A fresh value for a slot: place, person, month, year, day, number or decimal."""
        match key:
            case "l":
                return self._pick(PLACES)
            case "p":
                return self._pick(PEOPLE)
            case "m":
                return self._pick(MONTHS)
            case "y":
                return str(self.random.randint(1985, 2014))
            case "k":
                return str(self.random.randint(1, 28))
            case "n":
                return str(self.random.randint(100, 900))
            case _:
                return self._decimal()

    def _pick(self, items: Sequence[str]) -> str:
        """One of the items, the earlier the more often."""
        return self.random.choices(items, cum_weights=_tail(len(items)))[0]


@cache
def _tail(size: int) -> tuple[float, ...]:
    """Cumulative weights 1 / (rank + 3), rank from 0: a long tail without a dominant head."""
    return tuple(accumulate(1 / (rank + 3) for rank in range(size)))


@cache
def _companies(sector: str) -> tuple[str, ...]:
    """A hundred invented companies of a sector, by rank."""
    naming = SECTORS[sector]
    names = random.Random(f"companies {sector}")
    stems = [first + last for first in naming.syllables for last in naming.endings]
    names.shuffle(stems)
    return tuple(
        f"{stem} {names.choices(naming.forms, cum_weights=_tail(len(naming.forms)))[0]}"
        for stem in stems
    )
