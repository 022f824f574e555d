"""What tests share: a sandbox, an engine, and stacks that use them."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from engine.provision import EngineError, provide
from pulumi_ampersand.sandbox import Sandbox
from stack import Stack

REQUIRED = bool(os.environ.get("PULUMI_AMPERSAND_REQUIRE_ENGINE"))
"""Whether this run must have an engine, as CI's must."""


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores interrupts, and so would every plugin that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where an engine is required, an engine test that is skipped has failed."""
    report = yield
    if REQUIRED and report.skipped and item.get_closest_marker("engine"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although this run requires an engine: {report.longrepr}"
    return report


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with the scenario ``mixed``."""
    with Sandbox("mixed") as running:
        yield running


@pytest.fixture(scope="session")
def engine() -> Path:
    """The folder of a real Pulumi engine. Without one, tests are skipped."""
    try:
        return provide()
    except EngineError as error:
        pytest.skip(f"no engine: {error}")


class MakeStack(Protocol):
    """Makes a stack from a program."""

    def __call__(self, program: str, /, name: str = "test", **environment: str) -> Stack:
        """Make one, with more environment variables."""


@pytest.fixture
def make_stack(tmp_path: Path, engine: Path, sandbox: Sandbox) -> MakeStack:
    """Make stacks that read the sandbox."""

    def make(program: str, /, name: str = "test", **environment: str) -> Stack:
        folder = tmp_path / f"stack{len(list(tmp_path.iterdir()))}"
        return Stack(folder, engine, program, {**sandbox.environment, **environment}, name)

    return make
