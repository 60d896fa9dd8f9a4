"""The HTML document: one file that needs nothing but itself.

Style and script stand in the page. A content security policy names them by their hash and allows
nothing else: no address, no other script, no style attribute. The page reads without the script,
which only adds values on hover, sortable tables and the choice between light and dark.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own; `body` is HTML."""

    name: str
    title: str
    body: Sequence[str]


@dataclass(frozen=True)
class Heading:
    """What stands at the head of a page; all three are text."""

    kind: str
    title: str
    under: str


def page(heading: Heading, opening: Sequence[str], sections: Sequence[Section], rules: str) -> str:
    """A whole HTML document: heading, opening (HTML), then the sections with links to them.

    `rules` is CSS that only this page needs.
    """
    style = f"{_asset('style.css')}{rules}"
    script = _asset("script.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    links = "".join(f'<a href="#{each.name}">{text(each.title)}</a>' for each in sections)
    lines = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # Without this line a browser asks the server for one.
        '<link rel="icon" href="data:,">',
        f"<title>{text(heading.title)}</title>",
        f"<style>{style}</style>\n</head>\n<body>",
        f'<header><p class="kind">{text(heading.kind)}</p><h1>{text(heading.title)}</h1>'
        f'<p class="under">{text(heading.under)}</p></header>',
        "<main>",
        *opening,
        f'<nav aria-label="Contents">{links}</nav>',
        *[_section(each) for each in sections],
        f"</main>\n<script>{script}</script>\n</body>\n</html>\n",
    ]
    return "\n".join(lines)


def text(value: str) -> str:
    """The text, safe inside an element or a quoted attribute."""
    return html.escape(value)


def data_block(value: Any) -> str:
    """`value` as JSON for the script to read, safe inside the page."""
    # The one way out of a script element is its closing tag.
    inner = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json">{inner}</script>'


def _section(section: Section) -> str:
    body = "\n".join(section.body)
    return (
        f'<section id="{section.name}" aria-labelledby="{section.name}-title">'
        f'<h2 id="{section.name}-title">{text(section.title)}</h2>\n{body}\n</section>'
    )


def _asset(name: str) -> str:
    return (files("veiltune_analysis.report") / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
