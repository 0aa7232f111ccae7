"""What people and servers wrote reaches the terminal as words, never as commands or as markup."""

from __future__ import annotations

import json

import pytest

from fovea_server.cli import terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Kätzchen 猫 [/b] \u200f \u00ad", "Kätzchen 猫 [/b] \u200f \u00ad"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\nb\tc\x7f\x9b31m", r"a\x0ab\x09c\x7f\x9b31m"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("caf\udce9 \ud83d", r"caf\udce9 \ud83d"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert terminal.printable(text) == shown


def test_an_error_keeps_its_lines_and_nothing_else_that_a_terminal_obeys(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.say_error("no\x1b[2J\nmore", "do\x9b this")
    assert capfd.readouterr().err == "error: no\\x1b[2J\nmore\nhint: do\\x9b this\n"


def test_brackets_in_a_table_are_no_markup(capfd: pytest.CaptureFixture[str]) -> None:
    table = terminal.table("n[count]", "[/b]", numbers=("n[count]",))
    table.add_row(terminal.cell("[red]x[/red]"), terminal.cell("[/] :cat:"))
    terminal.stdout().print(table)
    assert capfd.readouterr().out.split() == ["n[count]", "[/b]", "[red]x[/red]", "[/]", ":cat:"]


def test_json_has_null_where_a_number_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    terminal.say_json({"a": [float("inf"), {"b": float("nan")}], "c": (-float("inf"), 1.5)})
    assert json.loads(capfd.readouterr().out) == {"a": [None, {"b": None}], "c": [None, 1.5]}
