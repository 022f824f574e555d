"""Python, this package, what it needs and its extras."""

from __future__ import annotations

import operator
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Final, NamedTuple

from pulumi_ampersand._version import __version__
from pulumi_ampersand_policies.doctor.note import Mark, Note

DISTRIBUTION: Final = "pulumi-ampersand"


class Requirement(NamedTuple):
    """A package that a distribution needs.

    Attributes:
        name: The package.
        range: Its versions, ``<4,>=3.216.0`` for example.
        extra: The extra that it belongs to; empty for none.
    """

    name: str
    range: str
    extra: str

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read a line of a distribution's metadata, as far as this project's own go."""
        wanted, _, marker = text.partition(";")
        name, range_ = re.findall(r"^[\w.-]+|[^\s()]+", wanted)[:2]
        return cls(name, range_, "".join(re.findall(r"""extra == ["']([\w-]+)""", marker)))

    @property
    def text(self) -> str:
        """As pip takes it."""
        return self.name + self.range

    def installed(self) -> str:
        """The installed version, or nothing."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return ""


_COMPARISONS: Final = {">=": operator.ge, "<": operator.lt}


def in_range(found: str, range_: str) -> bool:
    """Whether a version is one of a range of lower and upper bounds.

    Args:
        found: The version; what follows its numbers (``rc1``, ``-alpha``) doesn't count.
        range_: Bounds as ``<4,>=3.216.0``.
    """
    bounds = [re.findall(r"^\s*(\D+?)\s*(\d.*)", bound)[0] for bound in range_.split(",")]
    return all(_COMPARISONS[sign](_numbers(found), _numbers(bound)) for sign, bound in bounds)


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+(?:\.\d+)*)", text)
    numbers = [int(number) for number in found[1].split(".")] if found else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def requirements() -> list[Requirement]:
    """What this package needs, its extras included.

    Raises:
        PackageNotFoundError: It isn't installed.
    """
    return [Requirement.parse(line) for line in requires(DISTRIBUTION) or ()]


def pip_install(python: str, *arguments: str) -> str:
    """A remedy: have a Python install something."""
    return "run: " + shlex.join([python, "-m", "pip", "install", *arguments])


def installation() -> Iterator[Note]:
    """Python, this package, what it needs and its extras."""
    try:
        needed, python = requirements(), metadata(DISTRIBUTION)["Requires-Python"]
    except PackageNotFoundError:
        found = f"{DISTRIBUTION} {__version__} is on the path of {sys.executable}, but not installed there"
        yield Note(Mark.WARNING, DISTRIBUTION, found, pip_install(sys.executable, DISTRIBUTION))
        return
    found = f"{platform.python_version()}, {sys.executable}"
    if in_range(platform.python_version(), python):
        yield Note(Mark.OK, "Python", found)
    else:
        yield Note(Mark.PROBLEM, "Python", f"{found}; {python} is needed", "install it, and this package with it")
    yield Note(Mark.OK, DISTRIBUTION, __version__)
    good = []
    for requirement in needed:
        installed = requirement.installed()
        if not requirement.extra and installed and in_range(installed, requirement.range):
            good.append(f"{requirement.name} {installed}")
        elif not requirement.extra:
            found = f"{requirement.name} {installed or 'is missing'}; {requirement.range} is needed"
            yield Note(Mark.PROBLEM, "packages", found, pip_install(sys.executable, requirement.text))
    if good:
        yield Note(Mark.OK, "packages", ", ".join(good))
    for extra in dict.fromkeys(filter(None, (requirement.extra for requirement in needed))):
        yield _extra(extra, [requirement for requirement in needed if requirement.extra == extra])


def _extra(extra: str, requirements: Sequence[Requirement]) -> Note:
    subject, states = f"extra {extra}", {requirement: requirement.installed() for requirement in requirements}
    wrong = [requirement for requirement, state in states.items() if state and not in_range(state, requirement.range)]
    if wrong:
        found = ", ".join(f"{each.name} {states[each]}; {each.range} is needed" for each in wrong)
        return Note(Mark.PROBLEM, subject, found, pip_install(sys.executable, *(each.text for each in wrong)))
    if all(states.values()):
        return Note(Mark.OK, subject, ", ".join(f"{each.name} {state}" for each, state in states.items()))
    return Note(Mark.INFO, subject, "not installed", pip_install(sys.executable, f"{DISTRIBUTION}[{extra}]"))
