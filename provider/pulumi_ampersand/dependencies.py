"""Which resources may change what a read finds: those that it depends on, by ``depends_on`` or by an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pulumi import CustomResource, Output, Resource, StackReference

from pulumi_ampersand.errors import SettingsError, plain_errors


class ReadOnly:
    """Marks the resources that change nothing."""


def changing(arguments: Iterable[Any], depends_on: Any = None) -> Output[list[str] | None]:
    """The URNs of the resources that a read depends on and that may change what it finds, sorted; None for none.

    Args:
        arguments: What the read was given; may be outputs.
        depends_on: As in Pulumi's resource options.
    """

    async def urns() -> list[str] | None:
        try:
            found = await Output.all(*arguments).resources()
            found |= set(await _awaited(Output.from_input(depends_on or []).apply(_listed)))
            may_change = [resource for resource in found if not isinstance(resource, ReadOnly | StackReference)]
            return sorted([await _awaited(resource.urn) for resource in may_change]) or None
        except Exception:  # noqa: BLE001 - it fails where the argument is used, too, and is reported there
            return None

    return Output.from_input(urns())


def there(depends_on: Any) -> Output[Any]:
    """Known when these resources are; a new one isn't in a preview."""

    def identities(found: Any) -> Output[Any]:
        return Output.all(*(made for resource in _listed(found) for made in _identity(resource)))

    return Output.from_input(depends_on or []).apply(identities)


def _listed(resources: Any) -> list[Resource]:
    listed = list(resources) if isinstance(resources, list | tuple) else [resources]
    with plain_errors():
        if not all(isinstance(resource, Resource) for resource in listed):
            raise SettingsError("opts.depends_on must be a resource, or a list of resources")
    return listed


def _identity(resource: Resource) -> Iterator[Output[Any]]:
    """What isn't known before a resource is there. A component is there when its children are."""
    yield resource.id if isinstance(resource, CustomResource) else resource.urn
    for child in resource._childResources:  # noqa: SLF001 - the SDK has no other way, and waits by this one itself
        yield from _identity(child)


async def _awaited(output: Output[Any]) -> Any:
    return await output.future()
