"""Output of the commands: colours, numbers, tables and a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import TextIO

BOX = "─│┌┬┐├┼┤└┴┘µ█░→"
PLAIN = str.maketrans(dict(zip(BOX, "-|+++++++++u#.>", strict=True)))

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Style:
    """What one stream can show.

    Attributes:
        colour: it is a terminal that is not dumb, and NO_COLOR is not set.
        boxes: its encoding has the characters of BOX.
    """

    def __init__(self, stream: TextIO) -> None:
        self.colour = (
            stream.isatty()
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
        )
        try:
            BOX.encode(getattr(stream, "encoding", None) or "ascii")
            self.boxes = True
        except (UnicodeEncodeError, LookupError):
            self.boxes = False

    def paint(self, text: str, colour: str) -> str:
        """Return `text` in a colour of COLOURS if the stream shows colours."""
        if not (self.colour and colour):
            return text
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"

    def fit(self, text: str) -> str:
        """Return `text` without the characters that the stream cannot show."""
        if self.boxes:
            return text
        return text.translate(PLAIN).encode("ascii", "backslashreplace").decode()


def text_of(error: BaseException) -> str:
    """Return the text of an error, whatever its `__str__` does."""
    try:
        return str(error)
    except Exception:
        return "(its text cannot be made)"


def one_line(text: str) -> str:
    """Return a text as one line that cannot spoil a terminal."""
    text = " ".join(text.split())
    return text if text.isprintable() else ascii(text)


def duration(seconds: float) -> str:
    """Return a duration with three digits and its unit: `12.3 µs`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size * 0.9995:
            return f"{rounded(seconds / size)} {unit}"
    return f"{rounded(seconds * 1e6)} µs"


def rounded(number: float) -> str:
    """Return a number with three digits, those before the point all kept."""
    for limit, digits in ((9.995, 2), (99.95, 1)):
        if number < limit:
            return f"{number:.{digits}f}"
    return f"{number:,.0f}"


def remaining(seconds: float) -> str:
    """Return a time to wait as a clock shows it: `1:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def pairs(rows: Iterable[tuple[str, str]], style: Style) -> list[str]:
    """Return names and values as aligned lines."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return [
        f"{style.paint(name.ljust(width), 'dim')}  {style.fit(value)}"
        for name, value in rows
    ]


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    style: Style,
    *,
    align: str,
    total: bool = False,
    colours: Sequence[str] = (),
) -> list[str]:
    """Return a table as lines.

    Parameters:
        align: one of `<` and `>` for each column.
        total: set the last row apart.
        colours: one for each column, or "" for none; cells that say 0 are dimmed.
    """
    cells = [[style.fit(text) for text in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    side = style.fit("│")

    def rule(left: str, middle: str, right: str) -> str:
        line = middle.join("─" * (width + 2) for width in widths)
        return style.paint(style.fit(f"{left}{line}{right}"), "dim")

    def line(row: Sequence[str], paints: Sequence[str]) -> str:
        shown = [
            style.paint(f"{text:{way}{width}}", "dim" if text == "0" else paint)
            for text, way, width, paint in zip(row, align, widths, paints, strict=True)
        ]
        bar = style.paint(side, "dim")
        return f"{bar} " + f" {bar} ".join(shown) + f" {bar}"

    plain = list(colours) or [""] * len(header)
    body = [line(row, plain) for row in cells[1:]]
    if total:
        body.insert(-1, rule("├", "┼", "┤"))
        body[-1] = line(cells[-1], ["bold"] * len(header))
    heading = line(cells[0], ["bold"] * len(header))
    top, middle, bottom = (rule(*corners) for corners in ("┌┬┐", "├┼┤", "└┴┘"))
    return [top, heading, middle, *body, bottom]


class Progress:
    """A line on a terminal that shows how far the work is; elsewhere nothing.

    It is cleared at the end of a `with` block.
    """

    INTERVAL = 0.1  # seconds between two drawings

    def __init__(self, stream: TextIO, *, hidden: bool = False) -> None:
        shows = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.stream = stream if shows and not hidden else None
        self.style = Style(stream)
        self.started = self.due = monotonic()
        self.drawn = False

    def update(self, share: float | None, text: str | Callable[[float], str]) -> None:
        """Draw it again, unless it was drawn a moment ago.

        Parameters:
            share: how much of the work is done; None if unknown.
            text: what to show, or a function that returns it after so many seconds.
        """
        now = monotonic()
        if self.stream is None or now < self.due:
            return
        self.due = now + self.INTERVAL
        elapsed = now - self.started
        if callable(text):
            text = text(elapsed)
        shown = self.style.fit(line_of(share, text, elapsed))
        try:
            width = os.get_terminal_size(self.stream.fileno()).columns - 1 or 79
        except OSError:
            width = 79
        self.stream.write(f"\r{shown[:width]}\x1b[K")
        self.stream.flush()
        self.drawn = True

    def clear(self) -> None:
        """Clear it until the next update."""
        if self.drawn and self.stream is not None:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self.drawn = False
            self.due = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *raised: object) -> None:
        self.clear()


def line_of(share: float | None, text: str, elapsed: float) -> str:
    """Return what is drawn: a bar and a time to wait if these are known."""
    if share is None:
        return text
    filled = round(min(share, 1.0) * 24)
    parts = [f"{'█' * filled}{'░' * (24 - filled)} {min(share, 1.0):4.0%}", text]
    if share > 0:
        parts.append(f"ETA {remaining(max(elapsed / share - elapsed, 0.0))}")
    return "  ".join(parts)

