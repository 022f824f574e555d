"""What tests share: a sandbox, an engine, and stacks that use them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from engine.provision import EngineError, provide
from pulumi_ampersand.sandbox import Sandbox
from stack import Stack


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The API, with the scenario ``mixed``."""
    with Sandbox("mixed") as running:
        yield running


@pytest.fixture(scope="session")
def engine() -> Path:
    """The folder of a real Pulumi engine. Without one, tests are skipped, unless CI says that they must run."""
    try:
        return provide()
    except EngineError as error:
        if os.environ.get("PULUMI_AMPERSAND_REQUIRE_ENGINE"):
            pytest.fail(f"this run requires an engine: {error}")
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
