"""What the fuzzer is made of: inputs that it once found, inputs that look for what it could find, and a short run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import fuzz
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.inventory import Inventory

SCRIPT: Final = Path(fuzz.__file__)

CHANGED: Final = 300
"""How many inputs a short run makes up."""


def schema(content: Any) -> bytes:
    """A configuration with a JSON Schema of its own."""
    return json.dumps({"connection-schema": {"schema": content}}).encode()


FOUND: Final[dict[str, tuple[str, bytes]]] = {
    "circle": ("configuration", schema({"$ref": "#"})),
    "circle-inside": ("configuration", schema({"properties": {"id": {"$ref": "#/properties/id"}}})),
    "circle-of-several": ("configuration", schema({"allOf": [{"$ref": "#"}]})),
    "circle-by-condition": ("configuration", schema({"if": {"$ref": "#"}})),
    "circle-by-dynamic-reference": ("configuration", schema({"$dynamicRef": "#"})),
    "infinity": ("configuration", b'{"readable-connections": {"gate": {"projects": Infinity}}}'),
    "not-a-number": ("configuration", schema({"const": float("nan")})),
    "half-a-pair": ("configuration", b'{"token-expiry": {"waivers": [{"connection": "\\ud800"}]}}'),
    "half-a-pair-as-a-name": ("configuration", b'{"\\ud800": "advisory", "token-expiry": {"\\udfff": 1}}'),
    "empty-configuration": ("configuration", b""),
    "deep-configuration": ("configuration", b"[" * 4000),
    "large-number": ("configuration", b'{"token-expiry": {"maxReported": 1' + b"0" * 4000 + b"}}"),
    "empty-answer": ("decoder", b""),
    "deep-answer": ("decoder", b"[" * 4000),
    "deep-state": ("decoder", b'{"deployment":{"resources":[{"urn":"u","type":"t","inputs":' + b"[" * 4000),
    "year-zero": ("decoder", b'[{"id":"c","provider":"p","status":"working","updateTime":"0000-01-01T00:00:00Z"}]'),
}
"""What the fuzzer found, or what one thinks of before it does: each is still read, or an error that is a sentence."""


@pytest.mark.parametrize(("target", "data"), FOUND.values(), ids=FOUND)
def test_what_was_found(target: str, data: bytes) -> None:
    """What once went wrong, or nearly, doesn't any more."""
    fuzz.TARGETS[target](data)


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_what_it_begins_with(target: str) -> None:
    """There is much of it, each is another, and nearly all is JSON, or there would be nothing to change but bytes."""
    seeds = list(fuzz.seeds(target))
    assert len(seeds) > 100
    assert len(set(seeds)) > len(seeds) / 2
    assert sum(is_json(data) for data in seeds) > len(seeds) * 0.8


def is_json(data: bytes) -> bool:
    """Whether Python can read it."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def test_it_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that reads something else, or raises what it shouldn't, is seen."""
    data = b'[{"id":"c","provider":"p","status":"working"}]'
    fuzz.decoder(data)
    real = Inventory.for_rules

    def raising(data: bytes, project: str = "") -> Inventory:
        raise AnswerError(f"{len(data)}{project}")

    for broken in (raising, lambda data, project="": real(data.replace(b"working", b"created"), project)):
        monkeypatch.setattr(Inventory, "for_rules", broken)
        with pytest.raises(AssertionError):
            fuzz.decoder(data)


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_a_short_run(target: str, tmp_path: Path) -> None:
    """It tries what it begins with, then some hundred changes of it, and finds nothing."""
    pytest.importorskip("atheris", reason="atheris is there for Linux on x86-64 only")
    begun = len(list(fuzz.seeds(target)))
    run = subprocess.run(
        [sys.executable, SCRIPT, target, "--runs", str(begun + CHANGED), "--seed", "1", "--corpus", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    executed = re.search(r"^stat::number_of_executed_units: (\d+)$", run.stderr, re.MULTILINE)
    assert executed is not None
    assert int(executed[1]) >= begun + CHANGED
