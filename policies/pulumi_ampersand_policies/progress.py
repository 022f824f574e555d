"""Progress on standard error, for what takes longer than a second and only where somebody looks at a terminal."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Display
    from typing_extensions import Self

_PATIENCE: Final = 1.0
"""Seconds after which progress is shown."""


class Progress:
    """Counts what is done. Safe to share between threads; use it in a ``with`` statement.

    Args:
        doing: What is being done, for people.
        total: How many steps it takes; None if that isn't known.
        shown: Whether to show it if standard error is a terminal.
    """

    def __init__(self, doing: str, total: int | None, *, shown: bool = True) -> None:
        self._doing = doing
        self._total = total
        self._shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._count = 0
        self._lock = threading.Lock()
        self._display: Display | None = None
        self._timer = threading.Timer(_PATIENCE, self._begin)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._shown:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._shown = False
            if self._display is not None:
                self._display.stop()

    def step(self, text: str = "") -> None:
        """One step is done.

        Args:
            text: What to say of it, on one line.
        """
        with self._lock:
            if text and self._display is not None:
                self._display.console.print(text, markup=False, highlight=False, soft_wrap=True)
            elif text:
                click.echo(text, err=True)
            self._count += 1
            if self._display is not None:
                self._display.update(self._display.task_ids[0], completed=self._count)

    def _begin(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - most runs are shorter
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn  # noqa: PLC0415
        from rich.progress import Progress as Display  # noqa: PLC0415

        with self._lock:
            if self._shown:
                counted = [] if self._total is None else [BarColumn(), MofNCompleteColumn()]
                columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), *counted]
                self._display = Display(*columns, console=Console(stderr=True), transient=True)
                self._display.add_task(self._doing, total=self._total, completed=self._count)
                self._display.start()
