"""What reports are made of, as HTML: one file that can be sent around, without script, and nothing fetched."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

# The Content-Security-Policy that such a file needs where a server shows it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2328; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } .quiet { color: #5d6870; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .6rem .25rem 0; }
th { border-bottom: 1px solid #9aa5ac; font-weight: 600; } td { border-bottom: 1px solid #e3e8eb; }
.verdict { border-left: 4px solid #2a6f97; padding: .4rem 1rem; background: #f1f6f9; } .verdict b { font-size: 1.1rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: #5d6870; }
.pairs { display: flex; flex-wrap: wrap; gap: .8rem; } .pairs figure { margin: 0; width: 140px; font-size: .8rem;
  overflow-wrap: anywhere; }
"""


def document(title: str, parts: Iterable[str], style: str = "") -> str:
    """`parts` are HTML; `style` is the page's own."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{text(title)}</title>'
        f"<style>{_STYLE}{style}</style>{''.join(parts)}</html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Of texts."""
    head = "".join(f"<th>{text(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def quiet(value: str) -> str:
    return f'<p class="quiet">{text(value)}</p>'


def text(value: str) -> str:
    return html.escape(value)
