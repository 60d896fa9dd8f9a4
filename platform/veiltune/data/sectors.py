"""Three sectors of the embedded corpus: their companies, their news and their mix of sentiments.

Everything here is synthetic: company names are built from syllables, and a likeness to a real
company is an accident. There are three sectors, so three sites by sector is the natural partition.
"""

from dataclasses import dataclass

from veiltune.data.lexicon import NEGATIVE, NEUTRAL, POSITIVE, Event, Figures, phrases


@dataclass(frozen=True, slots=True)
class Sector:
    """How one sector names its companies, and what is news there, by sentiment."""

    syllables: tuple[str, ...]
    endings: tuple[str, ...]
    forms: tuple[str, ...]
    figures: Figures
    events: dict[str, tuple[Event, ...]]
    facts: tuple[str, ...]
    mix: dict[str, float]
    """The share of each sentiment among the sector's headlines, before annotators disagree."""


SECTORS: dict[str, Sector] = {
    "banking": Sector(
        mix={POSITIVE: 0.10, NEGATIVE: 0.72, NEUTRAL: 0.18},
        syllables=phrases("Nor, Vel, Alm, Bri, Sar, Ost, Lap, Tor, Kem, Ela"),
        endings=phrases("dia, vik, nor, mar, lund, bel, dan, heim, mo, ros"),
        forms=phrases("Bank, Savings Bank, Capital, Bank Plc, Insurance, Finance Oyj, Trust, Life"),
        figures=Figures(
            good_money=phrases("""
                net interest income, deposits, fee income, premium income,
                assets under management, commission income, lending, insurance
                premiums, trading income
            """),
            good=phrases("""
                capital ratio, loan demand, interest margin, new customers,
                mortgage volumes, solvency ratio, liquidity
            """),
            bad_money=phrases("""
                credit losses, loan impairments, bad loans, funding costs,
                claims expenses, provisions, trading losses, compensation
                payments
            """),
            bad=phrases(
                "defaults, arrears, loan defaults, fraud cases, customer outflows, insolvencies"
            ),
        ),
        events={
            POSITIVE: (
                Event(
                    phrases("won, secured, landed, gained, obtained"),
                    phrases("""
                        a banking licence, a pension mandate, a custody
                        mandate, a rating upgrade, an asset management
                        contract, a bond mandate
                    """),
                ),
                Event(
                    phrases("passed, cleared, sailed through"),
                    phrases("the stress test, a capital review, the liquidity test, an inspection"),
                ),
            ),
            NEGATIVE: (
                Event(
                    phrases("was fined over, was sued over, is under investigation for, admitted"),
                    phrases("""
                        money laundering, weak controls, mis-sold
                        funds, rate rigging, false reports, hidden
                        losses, insider trading
                    """),
                ),
                Event(
                    phrases("lost, was stripped of, gave up, missed out on, was denied"),
                    phrases("""
                        its top rating, a banking licence, a pension
                        mandate, a state guarantee, its largest
                        depositor, a custody mandate
                    """),
                ),
            ),
            NEUTRAL: (
                Event(
                    phrases("will rename, moved, merged, relocated"),
                    phrases("""
                        its branches in {l}, its fund unit, its card
                        services, its office in {l}, its private
                        banking unit
                    """),
                ),
            ),
        },
        facts=(
            "{c} has {n} branches in {l} and {l}",
            "the base rate of {c} is {d} % as of {k} {m}",
            "the fund of {c} invests in bonds and shares in {l}",
            "the loan from {c} matures in {y}",
            "{c} acts as the lead manager of the share issue",
        ),
    ),
    "industry": Sector(
        mix={POSITIVE: 0.12, NEGATIVE: 0.10, NEUTRAL: 0.78},
        syllables=phrases("Kol, Run, Ruk, Pon, Met, Hal, Var, Rau, Stor, Lem"),
        endings=phrases("mek, ros, pan, kor, tar, via, men, nes, berg, ala"),
        forms=phrases(
            "Steel, Oyj, Machinery, Works, Group, Paper Oyj, Engineering, Shipyard, Metals"
        ),
        figures=Figures(
            good_money=phrases("""
                order intake, order book, orders, export income, service
                revenue, new orders, order backlog
            """),
            good=phrases("""
                production, capacity utilisation, exports, deliveries, output,
                steel prices, paper deliveries, machine sales, shipments
            """),
            bad_money=phrases("""
                raw material costs, energy costs, freight costs, repair costs,
                warranty costs, environmental penalties
            """),
            bad=phrases("""
                accidents, delivery delays, downtime, scrap rates,
                cancellations, machine failures, overcapacity, lead times
            """),
        ),
        events={
            POSITIVE: (
                Event(
                    phrases("won, received, signed, secured, clinched, bagged, captured"),
                    phrases("""
                        an order for {n} machines, a tender, a supply
                        deal, a crane order, an engine order, a
                        maintenance contract worth EUR {d} mn, a
                        shipbuilding contract, a paper machine order
                    """),
                ),
                Event(
                    phrases("restarted, reopened, is expanding, doubled capacity at"),
                    phrases(
                        "its mill in {l}, its plant in {l}, its foundry, its sawmill, its shipyard"
                    ),
                ),
            ),
            NEGATIVE: (
                Event(
                    phrases("will close, shut down, halted, is to idle, stopped production at"),
                    phrases(
                        "its mill in {l}, its plant in {l}, its foundry, its sawmill, its shipyard"
                    ),
                ),
                Event(
                    phrases("lost, missed out on, failed to win, was stripped of"),
                    phrases("""
                        a crane order, a tender, a supply deal, an
                        engine order, a maintenance contract, a
                        shipbuilding contract, its largest customer
                    """),
                ),
            ),
            NEUTRAL: (
                Event(
                    phrases("operates, runs, owns, leases, manages, rents, maintains"),
                    phrases("""
                        plants in {l}, mills in {l}, warehouses near
                        {l}, a foundry in {l}, service sites in {l},
                        terminals in {l}, a test site
                    """),
                ),
                Event(
                    phrases("makes, supplies, manufactures, designs, delivers"),
                    phrases("""
                        pumps and valves, lifting equipment, steel
                        plates, paper machines, diesel engines, forest
                        machines, drives, packaging board, cranes for
                        ports
                    """),
                ),
            ),
        },
        facts=(
            "the plant of {c} in {l} covers {n} square metres",
            "the equipment from {c} will be delivered in {m} {y}",
            "the machine will be built at the {l} works of {c}",
            "{c} produces {n} tonnes of steel a year in {l}",
            "the contract of {c} covers engineering , installation and training",
        ),
    ),
    "technology": Sector(
        mix={POSITIVE: 0.74, NEGATIVE: 0.10, NEUTRAL: 0.16},
        syllables=phrases("Tek, Fin, Hel, Vai, Mar, Syn, Qui, Zen, Lyn, Ari"),
        endings=phrases("tex, sys, lin, tek, dex, nova, bit, net, max, vio"),
        forms=phrases(
            "Software, Networks, Oyj, Systems, Mobile, Labs Inc, Data, Games, Electronics"
        ),
        figures=Figures(
            good_money=phrases("""
                licence income, subscription revenue, software sales, bookings,
                recurring revenue, advertising revenue, royalties, cloud
                revenue
            """),
            good=phrases("""
                subscriptions, downloads, user numbers, data traffic, handset
                sales, active users, renewals, subscriber base
            """),
            bad_money=phrases("""
                roaming costs, hosting costs, development costs, patent costs,
                refunds, licensing costs
            """),
            bad=phrases("""
                churn, software defects, outages, customer churn, returns,
                security breaches, component shortages, bug reports
            """),
        ),
        events={
            POSITIVE: (
                Event(
                    phrases("won, signed, landed, secured, gained, was chosen for, was awarded"),
                    phrases("""
                        a software contract, a network order, a licence
                        deal, a framework agreement, a patent, a cloud
                        contract worth EUR {d} mn, a roaming deal, a 5G
                        contract, a frequency auction
                    """),
                ),
                Event(
                    phrases("launched, unveiled, started selling, won praise for"),
                    phrases("""
                        a faster chip, a best-selling game, an
                        award-winning app, a popular handset, a new
                        security product
                    """),
                ),
            ),
            NEGATIVE: (
                Event(
                    phrases("was hit by, suffered, disclosed, apologised for, is battling"),
                    phrases("""
                        a data breach, a cyber attack, an outage, a
                        product recall, a patent suit, a component
                        shortage, a security flaw
                    """),
                ),
                Event(
                    phrases("lost, failed to win, missed out on, was dropped from"),
                    phrases("""
                        a network order, a software contract, a patent
                        case, a frequency auction, a cloud contract, a
                        roaming deal
                    """),
                ),
            ),
            NEUTRAL: (
                Event(
                    phrases("develops, provides, offers, tests, licenses"),
                    phrases("""
                        software for hospitals, network equipment,
                        mobile games, information systems, wireless
                        modules, payment terminals, map services, data
                        centres in {l}
                    """),
                ),
            ),
        },
        facts=(
            "the software of {c} runs on {n} servers in {l}",
            "the new version of the {c} product is available from {k} {m}",
            "{c} has {n} developers in {l} and {l}",
            "the {c} service is used over the internet and by text message",
            "the standard supported by {c} was published in {y}",
        ),
    ),
}
