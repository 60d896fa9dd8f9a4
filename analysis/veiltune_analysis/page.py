"""The parts of an HTML page that needs nothing but itself: no script, no font, no address."""

import html
import math
from collections.abc import Sequence

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 Charter, "Bitstream Charter", Georgia, serif; color: #1a1a1a;
       background: #fff; max-width: 62rem; margin: 2.5rem auto 4rem; padding: 0 1.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; }
p { margin: .6rem 0; max-width: 44rem; }
.under { color: #555; margin: .2rem 0 1.2rem; }
.notice { border-left: 4px solid #d55e00; background: #fdf4ee; padding: .5rem 1rem; }
figure { margin: 1.5rem 0; } figure img { width: 100%; }
figcaption { color: #555; font-size: .88rem; max-width: 50rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font: 14px/1.4 system-ui, "DejaVu Sans", sans-serif; }
th, td { padding: .32rem 1.1rem .32rem 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid #e2e2e2; overflow-wrap: anywhere; }
th { font-weight: 600; border-bottom: 1.5px solid #888; vertical-align: bottom; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.total td { font-weight: 600; border-top: 1.5px solid #888; }
details { margin-top: 2rem; } summary { cursor: pointer; font-weight: 600; }
pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; background: #f6f6f6;
      padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print {
  body { margin: 0; max-width: none; padding: 0; font-size: 11pt; }
  h2 { break-after: avoid; } tr, figure, .notice { break-inside: avoid; }
}
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole HTML document; `title` is text, `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int, total: bool = False
) -> str:
    """An HTML table of texts.

    Columns from `numbers_from` on (0 is the first) are set flush right; `total` marks the last
    row as a sum.
    """

    def line(kind: str, cells: Sequence[str], mark: str = "") -> str:
        inner = "".join(
            f"<{kind}{_NUMBER if place >= numbers_from else ''}>{text(cell)}</{kind}>"
            for place, cell in enumerate(cells)
        )
        return f"<tr{mark}>{inner}</tr>"

    lines = [
        line("td", row, ' class="total"' if total and place == len(rows) - 1 else "")
        for place, row in enumerate(rows)
    ]
    return f'<div class="wide"><table>{line("th", header)}{"".join(lines)}</table></div>'


def text(value: str) -> str:
    """The text, safe inside an element or a quoted attribute."""
    return html.escape(value)


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, or what to say where there is none."""
    return "not measured" if _is_absent(value) else f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    """A share of 1 in per cent."""
    return "not measured" if value is None or _is_absent(value) else f"{100 * value:.1f} %"


_NUMBER = ' class="n"'


def _is_absent(value: float | None) -> bool:
    return value is None or math.isnan(value)
