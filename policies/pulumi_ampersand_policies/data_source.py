"""Data sources as they lie in a stack's state and in the engine's messages, without the engine's SDK."""

from __future__ import annotations

from typing import Final

DATA_SOURCE_TYPES: Final = frozenset(
    (
        "pulumi-python:dynamic/ampersand:Connections",
        "pulumi-python:dynamic/ampersand:ConnectionRef",
        # The plugin's, of programs in every language.
        "ampersand:index:Connections",
    )
)

NOT_TARGETED: Final = "its connections were not evaluated: it could not be read, or it isn't targeted by this operation"
UNKNOWN_UNTIL_UPDATE: Final = (
    "its connections were not evaluated: a filter isn't known until the update, which judges them then"
)

# From the engine's sdk/go/common/resource/properties.go and plugin/rpc.go: how unknown values and secrets travel.
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the name of a kind of value
