"""Faults: ways in which the sandbox fails on request.

A fault is written ``NAME[:VALUE][,OPTION=VALUE]...[@KIND]``, for example ``429:2``, ``503:1@list``, ``slow:0.5``,
``401,after=3@one`` or ``cut-off,times=1``. `DESCRIPTIONS` says what each of them does.

``:N`` limits a fault without a value of its own to N requests; ``times=N`` does so for every fault. ``after=N`` lets N
requests pass first. ``@KIND`` limits it to one kind of call: ``list``, ``one``, ``projects`` or ``reauth``. Of several
faults, the first that applies to a request answers it, before the API key is looked at.
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pulumi_ampersand.sandbox.errors import FaultError
from pulumi_ampersand.sandbox.request_log import REQUEST_KINDS, RequestKind

DESCRIPTIONS: Mapping[str, str] = {
    "STATUS": "400 to 599: a problem document with that status; 429 has Retry-After: 1 unless told otherwise. Options: "
    "retry-after=SECONDS for that header, retry-at=SECONDS for the time in the problem's retryAfter, "
    "retryable=true|false.",
    "slow:SECONDS": "The true answer, so many seconds late (5).",
    "drip:SECONDS": "The true answer, byte by byte, with so many seconds between two (0.05).",
    "cut-off": "Half of the true answer, then the connection is closed.",
    "reset": "The connection is reset (TCP RST) without an answer.",
    "hang-up": "The connection is closed without an answer.",
    "invalid-json": "200 with the first half of the true answer, said to be whole.",
    "not-a-list": "200 with the true answer inside a JSON object.",
    "empty": "200 with no body.",
    "html": "A proxy's error page in HTML. Option: status=STATUS (502).",
    "redirect": "302 to the same path on another origin. Option: to=URL (https://elsewhere.invalid).",
    "huge:MEBIBYTES": "200 with a well-formed array of connections, so many MiB long (300), streamed without a length.",
    "key-echo": "401 whose problem document repeats the API key that was sent.",
}
"""What each fault does, under its name with the value that it takes; as ``--help`` shows it."""

NAMES: tuple[str, ...] = tuple(name.partition(":")[0] for name in DESCRIPTIONS if name != "STATUS")
"""The faults that have a name; besides, every HTTP status from 400 to 599 is one."""

_VALUES = {"slow": 5.0, "drip": 0.05, "huge": 300.0}
_STATUS_OPTIONS = ("retry-after", "retry-at", "retryable")
_OPTIONS: Mapping[str, tuple[str, ...]] = {"html": ("status",), "redirect": ("to",)}
_KINDS: tuple[RequestKind, ...] = tuple(kind for kind in REQUEST_KINDS if kind != "other")
# What a client may well repeat, unless the API says otherwise.
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, as parsed from its text by `Fault.parse`.

    Attributes:
        text: as it was written.
        name: one of `NAMES`, or ``status``.
        times: how many requests it answers; None for all.
        after: how many requests it lets pass first.
        on: the kind of call that it is limited to; None for all.
        value: the seconds of ``slow`` and ``drip``, the MiB of ``huge``.
        status: the HTTP status of a status fault and of ``html``.
        retry_after: the seconds in the header ``Retry-After``; None for no such header.
        retry_at: the seconds from the request to the time in the problem's ``retryAfter``; None for no such field.
        retryable: the problem's ``retryable``.
        to: the origin that ``redirect`` leads to.
    """

    text: str
    name: str
    times: int | None = None
    after: int = 0
    on: RequestKind | None = None
    value: float = 0.0
    status: int = 502
    retry_after: int | None = None
    retry_at: float | None = None
    retryable: bool = False
    to: str = "https://elsewhere.invalid"

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """The fault that `text` stands for.

        Raises:
            FaultError: no such fault, option or kind of call, or a value out of range; says what would be valid.
        """
        if not isinstance(text, str):
            raise FaultError(f"a fault is a text, not {text!r}")
        written, _, kind = text.rpartition("@") if "@" in text else (text, "", None)
        head, *pairs = written.split(",")
        name, colon, value = head.partition(":")
        status = int(name) if name.isascii() and name.isdigit() and 400 <= int(name) <= 599 else None
        if status is None and name not in NAMES:
            raise FaultError(f"no fault {name!r}: {_choices(name, NAMES, statuses=True)}")
        if kind is not None and kind not in _KINDS:
            raise FaultError(f"fault {text!r}: no kind of call {kind!r}: {_choices(kind, _KINDS)}")
        settings: dict[str, Any] = {"text": text, "name": name, "on": kind}
        if status is not None:
            settings |= {"name": "status", "status": status, "retryable": status in _RETRYABLE}
        if name in _VALUES:
            settings["value"] = _number(text, name, value) if colon else _VALUES[name]
        elif colon:
            settings["times"] = _count(text, "times", value)
        for pair in pairs:
            option, _, setting = pair.partition("=")
            known = ("times", "after", *(_OPTIONS.get(name, ()) if status is None else _STATUS_OPTIONS))
            if option not in known:
                raise FaultError(f"fault {text!r}: no option {option!r}: {_choices(option, known)}")
            settings[option.replace("-", "_")] = _CONVERTERS[option](text, option, setting)
        if status == 429 and not {"retry_after", "retry_at"} & settings.keys():
            settings["retry_after"] = 1
        return cls(**settings)


class FaultPlan:
    """The faults now switched on, and how often each has struck. Safe to use from several threads."""

    def __init__(self, faults: Iterable["Fault | str"] = ()) -> None:
        self._lock = threading.Lock()
        self.set(faults)

    def set(self, faults: Iterable["Fault | str"]) -> None:
        """Replaces all faults; counting starts anew.

        Raises:
            FaultError: one is not written as it should be; then nothing changes.
        """
        listed = [faults] if isinstance(faults, str) else list(faults)
        parsed = [fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in listed]
        with self._lock:
            self._faults = parsed
            self._met = [0] * len(parsed)

    @property
    def faults(self) -> list[Fault]:
        """The faults that may still strike."""
        with self._lock:
            return [fault for fault, met in zip(self._faults, self._met, strict=True) if not _spent(fault, met)]

    def strike(self, kind: RequestKind) -> Fault | None:
        """The fault that answers the next request of this kind, or None; counts it."""
        with self._lock:
            for position, fault in enumerate(self._faults):
                if fault.on not in {None, kind} or _spent(fault, self._met[position]):
                    continue
                self._met[position] += 1
                if self._met[position] > fault.after:
                    return fault
        return None


def _spent(fault: Fault, met: int) -> bool:
    return fault.times is not None and met >= fault.after + fault.times


def _choices(word: str, valid: Iterable[str], *, statuses: bool = False) -> str:
    names = list(valid)
    nearest = get_close_matches(word, [*names, *(map(str, range(400, 600)) if statuses else ())], n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}valid are {'a status from 400 to 599, ' if statuses else ''}{', '.join(names)}"


def _number(text: str, option: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e6:
        raise FaultError(f"fault {text!r}: {option} takes a number from 0 on, not {value!r}")
    return number


def _count(text: str, option: str, value: str) -> int:
    least = 1 if option == "times" else 0
    if not (value.isascii() and value.isdigit() and least <= int(value) < 1e9):
        raise FaultError(f"fault {text!r}: {option} takes a whole number from {least} on, not {value!r}")
    return int(value)


def _status(text: str, option: str, value: str) -> int:
    status = _count(text, option, value)
    if not 200 <= status <= 599:
        raise FaultError(f"fault {text!r}: {option} takes an HTTP status from 200 to 599, not {value!r}")
    return status


def _truth(text: str, option: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise FaultError(f"fault {text!r}: {option} takes true or false, not {value!r}")
    return value == "true"


def _origin(text: str, option: str, value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise FaultError(f"fault {text!r}: {option} takes a URL that starts with http:// or https://, not {value!r}")
    return value.rstrip("/")


_CONVERTERS: Mapping[str, Callable[[str, str, str], Any]] = {
    "times": _count,
    "after": _count,
    "retry-after": _count,
    "retry-at": _number,
    "retryable": _truth,
    "status": _status,
    "to": _origin,
}
