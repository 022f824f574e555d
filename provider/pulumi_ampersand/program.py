"""The Pulumi program, or the plain script, that this process runs.

A script without Pulumi's SDK has an environment only, and pays for no more.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pulumi_ampersand.errors import SettingsError
from pulumi_ampersand.settings import Settings, unknown_keys

if TYPE_CHECKING:
    from pulumi_ampersand.reads import Reads

_LOCK = threading.Lock()
_RUNS: WeakKeyDictionary[Any, dict[Settings, Reads]] = WeakKeyDictionary()
"""What each Pulumi run of this process has read: a program of the Automation API may be run many times."""


class _StackConfig:
    """The stack's configuration as the SDK looks it up."""

    def get(self, key: str, /) -> Any:
        from pulumi.runtime.config import get_config  # noqa: PLC0415 - loaded already, or there is no stack

        return get_config(key)


@contextmanager
def reading(settings: Settings | None) -> Iterator[Reads]:
    """What this run reads with these settings; in a script, where no run ends, a new one each time.

    Raises:
        SettingsError: There is no key, or a setting can't be used, or one in the stack's configuration means nothing.
    """
    from pulumi_ampersand.reads import Reads  # noqa: PLC0415 - needs HTTP

    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise SettingsError("settings must be a Settings object")
    run = _run()
    if run is None:
        with closing(Reads(settings, {})) as alone:
            yield alone
        return
    check_configuration()
    with _LOCK:
        shared = _RUNS.setdefault(run, {})
        if settings not in shared:
            shared[settings] = Reads(settings, _StackConfig(), warn=_warn)
    yield shared[settings]


def check_configuration() -> None:
    """Refuse keys under ``ampersand:`` in the stack's configuration that mean nothing.

    Raises:
        SettingsError: Names the keys, each with the nearest valid one.
    """
    from pulumi import get_project  # noqa: PLC0415 - loaded already
    from pulumi.runtime import config  # noqa: PLC0415 - likewise

    keys = {**config.get_config_env(), **config.CONFIG.get()}
    if wrong := unknown_keys(keys, get_project()):
        raise SettingsError("; ".join(wrong))


def _warn(message: str) -> None:
    import pulumi  # noqa: PLC0415 - loaded already

    pulumi.log.warn(message)


def _run() -> Any:
    """The engine's end of this run; None if no engine runs this process's program."""
    if "pulumi" not in sys.modules:
        return None
    from pulumi.runtime.settings import get_monitor  # noqa: PLC0415 - loaded already

    return get_monitor()
