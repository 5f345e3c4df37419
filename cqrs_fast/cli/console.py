"""What the commands print with: colours, numbers, tables and a progress bar."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TextIO

BOX = "─│┌┬┐├┼┤└┴┘µ█░→"
PLAIN = str.maketrans(dict(zip(BOX, "-|+++++++++u#.>", strict=True)))

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Style:
    """What one stream can show.

    Attributes:
        colour: it is a terminal, and neither NO_COLOR nor a dumb one forbids it.
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
        """Return `text` in a colour of COLOURS, where the stream shows colours."""
        if not (self.colour and colour):
            return text
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"

    def fit(self, text: str) -> str:
        """Return `text` without the characters that the stream cannot show."""
        if self.boxes:
            return text
        return text.translate(PLAIN).encode("ascii", "backslashreplace").decode()


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
    """A line on a terminal that tells how far the work is.

    Parameters:
        total: how many bytes there are, None where nobody knows.
    """

    INTERVAL = 0.1  # seconds between two drawings

    def __init__(self, stream: TextIO, total: int | None) -> None:
        self.stream = stream
        self.style = Style(stream)
        self.total = total
        self.started = monotonic()
        self.due = self.started
        self.drawn = False

    def update(self, lines: int, failed: int, done: int) -> None:
        """Draw it again, unless it was drawn a moment ago."""
        now = monotonic()
        if now < self.due:
            return
        self.due = now + self.INTERVAL
        text = self.text(lines, failed, done, now - self.started)
        self.stream.write(f"\r{self.style.fit(text)[: self.width()]}\x1b[K")
        self.stream.flush()
        self.drawn = True

    def text(self, lines: int, failed: int, done: int, elapsed: float) -> str:
        """Return what to show after `done` bytes and `elapsed` seconds."""
        rate = lines / elapsed if elapsed > 0 else 0.0
        parts = [f"{lines:,} lines", f"{rate:,.0f}/s", f"{failed:,} failed"]
        if self.total:
            share = min(done / self.total, 1.0)
            parts.insert(0, bar(share))
            if share > 0:
                parts.append(f"ETA {remaining(elapsed / share - elapsed)}")
        return "  ".join(parts)

    def clear(self) -> None:
        """Take it off the terminal, until the next update."""
        if self.drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self.drawn = False
            self.due = 0.0

    def width(self) -> int:
        return width_of(self.stream)


class Meter:
    """A bar on a terminal that tells how much of the work is done; elsewhere nothing.

    It is taken off at the end of a `with` block.
    """

    INTERVAL = 0.1  # seconds between two drawings

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream if shows_progress(stream) else None
        self.style = Style(stream)
        self.started = self.due = monotonic()

    def update(self, share: float, step: str) -> None:
        """Draw it with what is being done, unless it was drawn a moment ago."""
        now = monotonic()
        if self.stream is None or now < self.due:
            return
        self.due = now + self.INTERVAL
        elapsed = now - self.started
        left = f"  ETA {remaining(elapsed / share - elapsed)}" if share > 0 else ""
        text = self.style.fit(f"{bar(share)}{left}  {step}")
        self.stream.write(f"\r{text[: width_of(self.stream)]}\x1b[K")
        self.stream.flush()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.stream is not None:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def bar(share: float) -> str:
    """Return a share of the work as a bar and a percentage."""
    filled = round(share * 24)
    return f"{'█' * filled}{'░' * (24 - filled)} {share:4.0%}"


def width_of(stream: TextIO) -> int:
    """Return how many characters fit into a line of a terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).columns - 1 or 79
    except OSError:
        return 79


def shows_progress(stream: TextIO) -> bool:
    """Tell whether a progress bar makes sense on a stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"
