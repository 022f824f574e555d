"""A real Chromium for the tests of pages: the system's, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, sync_playwright

from conftest import REQUIRED

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def executable() -> str:
    """The browser on PATH. Without one, tests are skipped, or fail in a run that must have an engine."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        (pytest.fail if REQUIRED else pytest.skip)(f"no browser: put {' or '.join(NAMES)} on PATH")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser."""
    program = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page that was opened, and what went wrong since.

    Attributes:
        page: The page.
        address: Its address, the only one that it may ask for.
        troubles: What the console said, exceptions, dialogues, and requests.
    """

    page: Page
    address: str
    troubles: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what goes wrong from now on."""
        self.page.on("console", lambda message: self.troubles.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("dialog", self._asked)
        self.page.on("request", self._requested)

    def _asked(self, dialogue: Dialog) -> None:
        self.troubles.append(f"dialogue: {dialogue.message}")
        dialogue.dismiss()

    def _requested(self, request: Request) -> None:
        if request.url != self.address:
            self.troubles.append(f"request: {request.url}")


@contextmanager
def opened(browser: Browser, path: Path, **settings: Any) -> Iterator[Opened]:
    """A file in a window of its own, in which nothing may go wrong.

    Args:
        browser: The browser.
        path: The file.
        settings: Of the window, as Playwright's ``new_context`` takes them.
    """
    context = browser.new_context(**settings)
    found = Opened(context.new_page(), path.as_uri())
    found.watch()
    found.page.goto(found.address)
    yield found
    context.close()
    assert found.troubles == []
