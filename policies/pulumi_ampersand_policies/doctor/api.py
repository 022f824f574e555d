"""The API: the key, the root, and whether it answers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.errors import (
    AmpersandError,
    AuthenticationError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
)
from pulumi_ampersand.settings import API_KEY_VARIABLE, DEFAULT_API_URL, Settings
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.doctor.note import SECONDS, Mark, Note

_SUBJECT: Final = "API"
_MOST_NAMED: Final = 10
"""How many projects are named."""


def settings(environ: Mapping[str, str], folder: Path) -> Iterator[Note]:
    """The API key, which is never shown, and the API's root.

    Args:
        environ: The environment.
        folder: Where a Pulumi project may be.
    """
    if not environ.get(API_KEY_VARIABLE, "").strip():
        found, mark = f"{API_KEY_VARIABLE} is not set", Mark.PROBLEM
        if any(folder.glob("Pulumi.y*ml")):
            mark = Mark.WARNING
            found += "; ampersand:apiKey of a stack isn't looked at, pulumi config says whether there is one"
        yield Note(mark, "API key", found, f"run: export {API_KEY_VARIABLE}=<key>")
        return
    try:
        access = Settings(api_key_env=API_KEY_VARIABLE).resolve({}, environ)
    except SettingsError as error:
        yield Note(Mark.PROBLEM, _SUBJECT, str(error))
        return
    yield Note(Mark.OK, "API key", f"{API_KEY_VARIABLE} is set")
    place = "the default" if access.api_url == DEFAULT_API_URL else "AMP_API_URL"
    yield Note(Mark.OK, "API root", f"{access.api_url}, {place}{_proxy(access.api_url)}")


def _proxy(root: str) -> str:
    """Which variable has a proxy between; not its value, which may hold a password."""
    parts, proxies = urlsplit(root), getproxies()
    if proxy_bypass(parts.hostname or ""):
        return ""
    name = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
    return f" through the proxy in {name.upper()}_PROXY" if name else ""


def reachability(environ: Mapping[str, str], project: str | None, seconds: float = SECONDS) -> Iterator[Note]:
    """Whether the API answers, takes the key, and has the project.

    Args:
        environ: The environment.
        project: The project, ID or name; None for the one that the environment names.
        seconds: How long the API may take to answer.
    """
    from pulumi_ampersand.client import Client  # noqa: PLC0415 - needs what may be missing
    from pulumi_ampersand.exchange import Limits  # noqa: PLC0415 - likewise

    chosen = project or environ.get("AMP_PROJECT", "").strip()
    try:
        access = Settings(api_key_env=API_KEY_VARIABLE).resolve({}, environ)
    except SettingsError:
        yield Note(Mark.INFO, _SUBJECT, "not asked, for what that needs is missing")
        return
    try:
        # Connecting and silence each end a call after that half.
        half = seconds / 2
        with Client(access, limits=Limits(connect=half, read=half, total=half, attempts=1)) as client:
            listed = client.list_projects()
    except AmpersandError as error:
        mark = Mark.WARNING if isinstance(error, RateLimitedError) else Mark.PROBLEM
        yield Note(mark, _SUBJECT, f"{_kind(error, access.api_url)}: {error}")
        return
    names = [one_line(each.name or each.id, 60) for each in listed]
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    shown = f"{', '.join(names[:_MOST_NAMED])}{more}"
    if not names:
        yield Note(Mark.WARNING, _SUBJECT, "the key is accepted, but can read no project", "use another key")
        return
    yield Note(Mark.OK, _SUBJECT, f"the key is accepted, and can read {shown}")
    if not chosen:
        remedy = f"give commands --project, or run: export AMP_PROJECT={shlex.quote(names[0])}"
        yield Note(Mark.INFO, "project", "none is chosen", remedy)
    elif any(chosen in {each.id, each.name} for each in listed):
        yield Note(Mark.OK, "project", chosen)
    else:
        found = f'"{one_line(chosen, 60)}" is none that the key can read{nearest(chosen, names)}'
        yield Note(Mark.PROBLEM, "project", found, f"give --project, or set AMP_PROJECT, to one of {shown}")


def _kind(error: AmpersandError, root: str) -> str:
    """What an error is, in a few words; its own text follows."""
    if isinstance(error, TransportError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return f"its certificate isn't trusted{_proxy(root)}"
        if "[SSL" in str(error):
            return f"it doesn't speak TLS as expected{_proxy(root)}"
        return f"it can't be reached{_proxy(root)}"
    kinds: dict[type[AmpersandError], str] = {
        SettingsError: "it can't be asked",
        AuthenticationError: "it refuses the key",
        PermissionDeniedError: "the key may not list projects",
        RateLimitedError: "it asks for a pause",
        ServerError: "it fails",
    }
    return next((words for kind, words in kinds.items() if isinstance(error, kind)), "what answers isn't the API")
