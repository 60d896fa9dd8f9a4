"""The words of the embedded corpus that every sector shares: ordinary language of business news.

Every tuple is sorted by rank: the grammar draws its first entry most often and its last one rarely,
so the vocabulary has a long tail. A slot in braces is filled when a headline is drawn: {c} company,
{l} place, {p} person, {m} month, {y} year, {k} day, {n} number, {d} decimal number, {x} statement.
"""

from dataclasses import dataclass

POSITIVE, NEGATIVE, NEUTRAL = "positive", "negative", "neutral"
SENTIMENTS = (POSITIVE, NEGATIVE, NEUTRAL)


def phrases(text: str) -> tuple[str, ...]:
    """The comma-separated phrases of a text, in order.

    >>> phrases("rose, went up")
    ('rose', 'went up')
    """
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


@dataclass(frozen=True, slots=True)
class Figures:
    """Quantities of which more is good, or more is bad; money can be given as an amount."""

    good_money: tuple[str, ...]
    good: tuple[str, ...]
    bad_money: tuple[str, ...]
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something a company does: any of the verbs goes with any of the objects."""

    verbs: tuple[str, ...]
    objects: tuple[str, ...]


UP = phrases("""
    rose, increased, grew, climbed, went up, jumped, expanded, surged, soared, picked up,
    edged up, accelerated, inched up, moved higher, swelled, ticked up, mounted, widened,
    leapt, shot up, crept up, spiked, escalated, ballooned
""")
DOWN = phrases("""
    fell, decreased, declined, dropped, slipped, shrank, went down, tumbled, contracted,
    slid, plunged, sank, dipped, slumped, eased, narrowed, retreated, edged down, moved
    lower, dwindled, faded, diminished, plummeted, ticked down, came down, receded, inched
    down
""")
UP_OF_GOOD = phrases("improved, strengthened, recovered, rebounded, rallied, advanced, firmed")
DOWN_OF_GOOD = phrases("weakened, deteriorated, suffered, eroded, softened, crashed")
"""Movements of what one wants more of; of losses, "improved" could mean either direction."""
UP_ALONE = phrases("doubled, hit a record, tripled, reached a new high, set a new record")
DOWN_ALONE = phrases("halved, hit a low, reached a new low, collapsed, almost vanished")
"""Movements after which no amount is given."""
FLAT = phrases("""
    remained flat, held steady, stayed level, showed no change, matched the prior year,
    came in as forecast, barely moved, stood still, stayed on the same level, repeated the
    level of last year, moved sideways, hovered around the earlier level
""")
CONTRASTS = phrases("although, while, even though, whereas, despite the fact that")
SPEECH = phrases("{c} 's {x}, {c} said {x}, {c} : {x}, {c} reported that {x}, at {c} {x}")
PERIODS = phrases("""
    in the quarter, last year, in the third quarter, in the first half, in 2008, in the
    period, year on year, in 2007, in the first nine months, this month, in January, in
    Europe, in the fourth quarter, in May, in Finland, from the previous year, in the
    Baltic countries, in Asia, in September, in the second half, over the winter, in North
    America, in the corresponding period, in Russia, in 2010, since the spring, in Sweden,
    in December, during the summer, in the Nordics
""")
PLACES = phrases("""
    Helsinki, Finland, Stockholm, Sweden, Poland, Oslo, Russia, Germany, Riga, Estonia,
    Copenhagen, Tampere, London, China, Norway, Hamburg, Lithuania, Denmark, Espoo, India,
    Spain, Chile, St. Petersburg, Vantaa, the Netherlands, Brazil, Turku, Warsaw, the
    United States, Peru, Oulu, Italy, Tallinn, the UK, Canada, Vilnius, Moscow, France,
    Singapore, Ukraine, Rotterdam, Mexico
""")
PEOPLE = phrases("""
    Anna Virta, Mikko Salo, Jan Berg, Eva Lind, Peter Holm, Kaisa Aho, Tom Keller, Ingrid
    Dahl, Juha Koski, Maria Ruiz, Olli Harju, Lars Nygaard, Elena Orlova, Paul Meyer, Satu
    Niemi
""")
MONTHS = phrases("""
    March, October, May, January, September, February, June, November, April, August,
    December, July
""")

GENERAL_FIGURES = Figures(
    good_money=phrases("""
        operating profit, net sales, net profit, sales, turnover, pretax profit,
        revenue, cash flow, earnings, operating result, gross profit, equity, income,
        market value, EBITDA
    """),
    good=phrases("""
        market share, demand, operating margin, earnings per share, customer
        satisfaction, productivity, EPS, profitability, gross margin, return on equity,
        sales volumes
    """),
    bad_money=phrases("""
        operating loss, net loss, costs, expenses, net debt, debt, administrative
        expenses, losses, interest expenses, impairments, write-downs, staff costs
    """),
    bad=phrases("""
        staff turnover, absenteeism, tax rate, complaints, cost ratio, gearing,
        overheads, debt burden
    """),
)
GENERAL_EVENTS = {
    POSITIVE: (
        Event(
            phrases("raised, lifted, increased, upgraded, boosted, hiked, restored"),
            phrases("""
                its dividend, its outlook, its full-year forecast, its
                guidance, its profit estimate, its growth target, its margin
                target, its payout
            """),
        ),
        Event(
            phrases("beat, exceeded, topped, surpassed, outstripped"),
            phrases("estimates, expectations, the consensus, its own target, analyst forecasts"),
        ),
        Event(
            phrases("cut, reduced, repaid, trimmed, lowered"),
            phrases("its debt, its costs, its losses, its overheads, its interest expenses"),
        ),
        Event(
            phrases("settled, resolved, avoided, averted, won dismissal of, fended off"),
            phrases("a lawsuit, a strike, a tax dispute, a fine, an antitrust case, a boycott"),
        ),
    ),
    NEGATIVE: (
        Event(
            phrases("cut, lowered, slashed, withdrew, suspended, trimmed, scrapped, reduced"),
            phrases("""
                its dividend, its outlook, its full-year forecast, its
                guidance, its profit estimate, its growth target, its margin
                target, its payout
            """),
        ),
        Event(
            phrases("missed, fell short of, undershot, trailed, lagged"),
            phrases("estimates, expectations, the consensus, its own target, analyst forecasts"),
        ),
        Event(
            phrases("faces, was hit by, warned of, suffered, was hurt by, is battling, disclosed"),
            phrases("""
                a lawsuit, a strike, a tax dispute, a fine, an antitrust case,
                a boycott, a profit warning, an accounting error, a downgrade
            """),
        ),
        Event(
            phrases("will lay off, is to dismiss, may shed, has given notice to"),
            phrases(
                "some {n} employees, up to {n} people, a tenth of its staff, {n} office workers"
            ),
        ),
    ),
    NEUTRAL: (
        Event(
            phrases(
                "will publish, is to release, scheduled, will present, postponed, will discuss"
            ),
            phrases("""
                its annual report, its interim results, its financial
                statements, its half-year review, its sustainability report,
                its financial calendar
            """),
        ),
        Event(
            phrases("appointed, named, elected, nominated, hired, proposed"),
            phrases("""
                a new chief executive, a finance director, a board member, an
                auditor, {p} as chairman, a general counsel, {p} to its board,
                a country manager, a head of communications
            """),
        ),
        Event(
            phrases("will hold, has called, is to arrange, moved"),
            phrases("""
                its annual general meeting, a capital markets day, a conference
                call, a webcast, an extraordinary general meeting, a press
                conference
            """),
        ),
    ),
}
GENERAL_FACTS = (
    "{c} is based in {l} and employs some {n} people",
    "the financial details of the deal with {c} have not been disclosed",
    "{c} has been listed on the stock exchange since {y}",
    "the value of the order from {c} is about EUR {d} million",
    "{c} was established in {y} and has offices in {l}",
    "{p} has worked for {c} since {y}",
    "the agreement between {c} and its partner runs until {m} {y}",
    "{c} will announce the terms on {k} {m} {y}",
    "the number of shares in {c} is {n},{n}",
    "{c} today holds {d} % of the shares and votes",
    "the board of {c} met in {l} on {k} {m}",
    "{c} has its headquarters in {l} , according to its website",
    "under the plan , the unit in {l} becomes part of {c}",
    "{c} owns {n} properties in {l} with a total area of {n},{n} square metres",
    "trading in {c} starts at {k} a.m. local time ( GMT )",
    "a subsidiary of {c} operates in {l} , {l} and {l}",
)
