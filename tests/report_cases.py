"""Reports that every form is tried with: one that is compared with a baseline, and some that are hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from audits import CONNECTIONS, baseline, part, report
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.audit import Part, audit
from pulumi_ampersand_policies.baseline import Baseline, PastFinding
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.report import Report, Source, SourceKind
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import NOW, connection, grant

ESCAPES: Final = "\x1b[2J\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\link\x1b[31m \x9b31m \x00\x7f\x08"
TEXTS: Final[dict[str, str]] = {
    "escapes": ESCAPES,
    "lines": "a\r\nb\tc\u2028d\x85e\n\n# f\n| g | h |\n",
    "bidirectional": "\u202eevil\u2066 \u200fx\u061c",
    "surrogates": "a\ud800b\udfff",
    "rich": "[bold red]x[/] [/bold] [link=http://evil.example]y[/link] \\[z] [@click=a]b[/] :x: :warning:",
    "html": "<script>alert(1)</script><img src=x onerror=f()><!-- x --> &lt;b&gt; &#64; &amp; ]]> </code></p>",
    "links": "http://evil.example www.evil.example https://e.example/?a=1&b=2 ftp://e.example a@evil.example",
    "markdown": "**b** _i_ ~~s~~ [l](http://e.example) ![i](http://e.example/i.png) <http://e.example> [^1] # h",
    "github": "@octocat #1 GH-1 owner/repo#1 owner/repo@0123456789abcdef0123456789abcdef01234567 :x: $x$ $`y`$ $$z$$",
    "list": "- a",
    "numbered": "1. a",
    "quote": "> [!CAUTION] a",
    "pipes": r"| a | b \| c \\| d \\\| e ||| \| f|",
    "backslashes": "a\\",
    "backslash": "\\",
    "pipe": "|",
    "backtick": "`",
    "backticks": "` `` ``` a `````` b ````",
    "backticks-and-pipes": r"`|`\|``\\|`",
    "backtick-run": "`" * 200,
    "sum": "=1+1",
    "plus": "+1+1",
    "minus": "-1+1",
    "at": "@SUM(1,1)",
    "command": "=cmd|' /C calc'!A0",
    "spaced": "  =1+1",
    "quoted": '"=1+1',
    "apostrophe": "'=1+1",
    "fullwidth": "\uff1d1+1 \uff0b1 \uff0d1 \uff20a",
    "zero-width": "\u200b=1+1",
    "semicolon": "a;=1+1; \"=1+1;'+1;\uff1d1;;=1",
    "commas": '",=1+1,"',
    "tab": "\t=1+1",
    "noncharacters": "a\ufffeb\uffffc",
    "hebrew": "\u05e9\u05dc\u05d5\u05dd, \u0645\u0631\u062d\u0628\u0627",
    "chinese": "\u682a\u5f0f\u4f1a\u793e\u30c6\u30b9\u30c8" * 9,
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "combining": "a" + "\u0301" * 30,
    "long": "x" * 3000,
    "forged": "a" * 70 + " Clean: 9 connections, nothing breaks. " + "Failures: 9 " * 20,
}
"""Texts by what they try."""


def clean(text: str) -> str:
    """What remains of a text in a report: what steers a terminal is gone before any form is written."""
    return one_line(text)


def compared(**settings: Any) -> Report:
    """A report with new, unchanged, fixed and unjudged findings, which is incomplete."""
    earlier = report(
        *CONNECTIONS[:6],
        connection("conn_fixed", status="bad_credentials"),
        connection("conn_unread", status="bad_credentials", projectId="proj_2"),
    )
    parts = [
        part(
            *CONNECTIONS[1:],
            connection("conn_fixed", oauth2AuthorizationCode=grant(scopes=["api", "refresh_token"])),
            connection("conn_new", status="bad_credentials"),
        ),
        part(name="proj_2", project="proj_2", error="HTTP 503 Service Unavailable"),
    ]
    return report(parts=parts, baseline=baseline(earlier), **settings)


def hostile(text: str) -> Report:
    """A report with a text in every place that others write to."""
    written = text.encode("utf-8", "replace").decode()
    past = {"consumer": written, "fingerprint": written, "message": written, "severity": written, "state": written}
    return audit(
        [
            Part(Source(SourceKind.ANSWER, clean(text), 3), _connections(text)),
            Part(Source(SourceKind.PROJECT, clean(text), 0, clean(text)), Inventory(project=text, unread=[text])),
        ],
        parse(json.dumps(_configuration(written)), "policy-config.json", [*RULES, _own(written)]),
        NOW,
        baseline=Baseline(
            1,
            written,
            (
                PastFinding("no-bad-credentials", connection="odd", project="proj_1", provider="", group="", **past),
                PastFinding(written, connection=written, project=written, provider=written, group=written, **past),
            ),
        ),
    )


def _configuration(text: str) -> dict[str, Any]:
    waiver = {"reason": text, "approvedBy": text, "expires": "2099-12-31"}
    return {
        "no-bad-credentials": {
            "waivers": [{"connection": "waived", **waiver}, {"group": text + "-", "consumer": text + "-", **waiver}]
        }
    }


def _connections(text: str) -> Inventory:
    theirs = {
        "provider": text,
        "group": {"groupRef": text, "groupName": text},
        "consumer": {"consumerRef": text, "consumerName": text},
        "providerWorkspaceRef": text,
        "status": "bad_credentials",
    }
    answer = [connection(text, **theirs), connection("waived", **theirs), connection("odd", status=text)]
    return Inventory.from_answer(json.dumps(answer).encode(), "proj_1")


def _own(text: str) -> Rule[Options]:
    def check(inventory: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
        for entry in inventory:
            yield Breach(text, entry)
            yield Unverified(text, entry)
        yield Breach(text)
        yield Unverified(text)

    return Rule(
        id=f"own {text}",
        title=text,
        severity=Severity.LOW,
        enforcement=Enforcement.ADVISORY,
        remediation=f"{text} {{connection}}",
        check=check,
        options=Options,
    )
