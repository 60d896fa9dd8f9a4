"""What the embedded model is pretrained on: headlines with commentary, never the task itself.

In commentary a headline's sentiment can be read: "the outlook looks bleak". The label words occur
in one frame only, and the task's template, "{headline} sentiment:", never does: so the model has
all the parts and has not been shown the task, and a prompt has something to tune.
"""

from dataclasses import dataclass

from veiltune.data.headlines import Grammar, Headline
from veiltune.data.lexicon import NEGATIVE, NEUTRAL, POSITIVE, SENTIMENTS, phrases
from veiltune.data.sectors import SECTORS


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence of commentary; {w} is a word of its field that reveals the sentiment."""

    field: str
    text: str


VIEW = "view"
"""The one field whose words are the label words; probes never use it."""

FRAMES = (
    Frame("news", "analysts saw this as {w} news for {c}"),
    Frame("news", "brokers called it {w} news"),
    Frame("shares", "shares of {c} {w} afterwards"),
    Frame("shares", "the stock {w} on the day"),
    Frame("mood", "investors were {w}"),
    Frame("mood", "mood: {w}"),
    Frame("mood", "traders felt {w} about {c}"),
    Frame("outlook", "the outlook looks {w}"),
    Frame("outlook", "outlook: {w}"),
    Frame("outlook", "sentiment around {c} is {w}"),
    Frame(VIEW, "the market took a {w} view of {c}"),
)
REVEALING: dict[str, dict[str, tuple[str, ...]]] = {
    "news": {
        POSITIVE: phrases("good, encouraging, welcome, great"),
        NEGATIVE: phrases("bad, discouraging, unwelcome, grim"),
        NEUTRAL: phrases("routine, ordinary, expected, unremarkable"),
    },
    "shares": {
        POSITIVE: phrases("rose, gained, climbed, rallied"),
        NEGATIVE: phrases("fell, lost, slid, sank"),
        NEUTRAL: phrases("barely moved, held steady, were flat, were unchanged"),
    },
    "mood": {
        POSITIVE: phrases("pleased, delighted, happy, upbeat"),
        NEGATIVE: phrases("worried, upset, gloomy, alarmed"),
        NEUTRAL: phrases("unmoved, indifferent, calm, unfazed"),
    },
    "outlook": {
        POSITIVE: phrases("bright, strong, promising, healthy"),
        NEGATIVE: phrases("bleak, weak, poor, fragile"),
        NEUTRAL: phrases("stable, steady, even, balanced"),
    },
    VIEW: {POSITIVE: (POSITIVE,), NEGATIVE: (NEGATIVE,), NEUTRAL: (NEUTRAL,)},
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a pretraining document; commentary reveals the sentiment of the news before it."""

    text: str
    commentary: bool


def document(grammar: Grammar) -> list[Passage]:
    """The next pretraining document: news with commentary in which sentiment can be read.

    Sentiments are equally common in every sector here, so a company's name reveals nothing. Some
    documents hold several headlines, all commented in one frame: there a reader gains by looking
    back at how this document speaks, as a tuned prompt will ask of the model. A few begin with
    plain facts.
    """
    draw = grammar.random
    passages: list[Passage] = []
    kind = draw.random()
    if kind < 0.08:
        sector = draw.choice(tuple(SECTORS))
        for _ in range(draw.randint(2, 4)):
            fact = grammar.fact(grammar.company(sector), sector)
            passages.append(Passage(f" {fact} .", commentary=False))
    headlines = draw.randint(2, 4) if kind > 0.7 else 1
    shared = draw.choice(FRAMES)
    for _ in range(headlines):
        headline = grammar.headline(sentiment=draw.choice(SENTIMENTS))
        passages.append(Passage(f" {headline.text}", commentary=False))
        if headlines > 1:
            passages.append(_comment(grammar, headline, shared))
        else:
            for _ in range(draw.randint(2, 3)):
                passages.append(_comment(grammar, headline, draw.choice(FRAMES)))
    return [Passage(passages[0].text.lstrip(), passages[0].commentary), *passages[1:]]


def _comment(grammar: Grammar, headline: Headline, frame: Frame) -> Passage:
    """One sentence on a headline: seldom mistaken, sometimes about the side clause."""
    draw = grammar.random
    seen = headline.sentiment
    if headline.side is not None and draw.random() < 0.2:
        seen = headline.side
    if draw.random() < 0.03:
        seen = draw.choice(SENTIMENTS)
    word = draw.choice(REVEALING[frame.field][seen])
    return Passage(f" {frame.text.format(w=word, c=headline.company)} .", commentary=True)
