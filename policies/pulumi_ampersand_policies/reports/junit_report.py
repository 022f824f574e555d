"""The report as JUnit XML: a suite for each rule, a case for each connection that the rule applies to.

A case has failed if, and only if, its finding breaks; so there is a failure exactly where the gate is broken. An error
is what could not be looked at: a source that wasn't read, a connection that a rule could not judge, a rule that
crashed. A case is skipped where there is something to say that breaks nothing: readers show why cases were skipped, and
nothing of those that passed. Its ``type`` says what it is: a finding that is ``waived``, ``tolerated``, ``known`` (to
the baseline, where only new ones break) or ``open`` (and doesn't break); a rule that is ``inactive`` or
``inapplicable`` (to all connections); a waiver that is ``expired`` or ``unused``; a finding of the baseline that is
``not judged`` now.

A rule that crashed has no passed cases, because nobody knows what else it would have found. A rule below the severity
that is shown has none either; if its findings break, a case of its own fails.

There is no one schema; this is valid by that of Jenkins' xUnit plugin. GitLab knows cases by ``classname`` and ``name``
and drops all but the first of those that share them. So a name holds rule, project and connection, and a number where
that isn't enough. (It reads files of up to 30 MB.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.report import TOOL, Report, moment
from pulumi_ampersand_policies.reports import Look
from pulumi_ampersand_policies.reports.junit_cases import Case, Suite, legal, suites

MESSAGE: Final = 500
"""The most characters of a message; the element's body has all of it."""

_PLAIN: Final = re.compile(r"[ !#-%(-;=?-~]*")
_AT_ONCE: Final = 1000
"""How many cases are handed on at once."""


def render(report: Report, _look: Look) -> Iterator[str]:
    """The report as JUnit XML, some cases after the other; the same report gives the same text."""
    found = [suite for suite in suites(report) if suite.counts]
    total = sum((Counter(suite.counts) for suite in found), Counter[str]())
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites{_attributes(name=f'{TOOL} audit', **_numbers(total))}>\n"
    for suite in found:
        yield from _written(suite, moment(report.as_of).removesuffix("Z"))
    yield "</testsuites>\n"


def _numbers(counts: Mapping[str, int]) -> dict[str, str]:
    return {
        "tests": str(sum(counts.values())),
        "failures": str(counts.get("failure", 0)),
        "errors": str(counts.get("error", 0)),
    }


def _written(suite: Suite, timestamp: str) -> Iterator[str]:
    numbers = {**_numbers(suite.counts), "skipped": str(suite.counts.get("skipped", 0))}
    yield f"  <testsuite{_attributes(name=suite.name, **numbers, timestamp=timestamp)}>\n"
    if suite.properties:
        properties = "".join(
            f"      <property{_attributes(name=name, value=value)}/>\n" for name, value in suite.properties.items()
        )
        yield f"    <properties>\n{properties}    </properties>\n"
    start = f"    <testcase{_attributes(classname=suite.classname)} name="
    cases = suite.cases()
    while some := "".join(_case(start, case) for case in islice(cases, _AT_ONCE)):
        yield some
    yield "  </testsuite>\n"


def _case(start: str, case: Case) -> str:
    name, outcome = case
    opened = f"{start}{_quoted(name)}"
    if outcome is None:
        return f"{opened}/>\n"
    element, kind, message, body = outcome
    described = _attributes(type=kind, message=one_line(message, MESSAGE)) if element != "system-out" else ""
    return f"{opened}>\n      <{element}{described}>{escape(legal(body))}</{element}>\n    </testcase>\n"


def _attributes(**values: str) -> str:
    return "".join(f" {name}={_quoted(value)}" for name, value in values.items())


def _quoted(text: str) -> str:
    # Nearly all names are plain, and there may be millions.
    return f'"{text}"' if _PLAIN.fullmatch(text) else quoteattr(legal(text))
