"""Traffic on a terminal: what others sent is shown, never obeyed.

Whatever a terminal could take for a command (escape sequences, carriage returns, marks that turn the reading
direction) is replaced by a visible escape; a `rich` table gets text, never markup.
"""

import io
import sys

import click


def visible(text: str, keep: str = "") -> str:
    """`text` with everything that does not print escaped, but for the characters in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]], flexible: tuple[str, ...]) -> None:
    """A table that fits a terminal by shortening `flexible` columns; for anything else in full, one row a line."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    shown = [[visible(cell) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold" if terminal else "")
    for place, column in enumerate(columns):
        if column in flexible:
            table.add_column(column)
        else:
            table.add_column(column, no_wrap=True, min_width=max(cell_len(row[place]) for row in [columns, *shown]))
    for row in shown:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    if terminal:
        Console(highlight=False, emoji=False).print(table)
        return
    buffer = io.StringIO()
    Console(file=buffer, width=100_000, color_system=None, highlight=False, emoji=False).print(table)
    for line in buffer.getvalue().splitlines():
        click.echo(line.rstrip())
