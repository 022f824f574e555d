"""A saved answer of the API, read for rules alone: several times as fast as for programs, in half of the memory.

A program gets connections that are dictionaries, for the SDK's sake. Rules only look at attributes. So here the decoder
makes objects with those attributes, each of which stands for a connection and for how it was found alike; what many
connections have in common is read once, and what rules don't look at stays the text that it was. This has no opinion
of its own: it reads as `pulumi_ampersand.answers` does, and what it can't read so, it leaves to that module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from pulumi_ampersand.answers import read_connection, read_metadata, without_collection
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.model import HEALTHY_STATUSES, Connection, Observation, ProviderApp, Token
from pulumi_ampersand.terminal import harmless, may_be_harmful

_NULL: Final = msgspec.Raw(b"null")


class SavedGroup(msgspec.Struct, gc=False, omit_defaults=True, rename={"ref": "groupRef", "name": "groupName"}):
    """A `pulumi_ampersand.model.Group`, as rules see it."""

    ref: str | None = None
    name: str | None = None
    project_id: str | None = msgspec.field(default=None, name="projectId")
    create_time: str | None = msgspec.field(default=None, name="createTime")


class SavedConsumer(
    msgspec.Struct, gc=False, omit_defaults=True, rename={"ref": "consumerRef", "name": "consumerName"}
):
    """A `pulumi_ampersand.model.Consumer`, as rules see it."""

    ref: str | None = None
    name: str | None = None
    project_id: str | None = msgspec.field(default=None, name="projectId")
    create_time: str | None = msgspec.field(default=None, name="createTime")


class _MetadataItem(msgspec.Struct, gc=False, omit_defaults=True, rename="camel"):
    value: str | None = None
    source: str | None = None
    display_name: str | None = None


class _Grant(msgspec.Struct, gc=False, rename="camel"):
    access_token: Token | None = None
    refresh_token: Token | None = None
    scopes: msgspec.Raw = _NULL


class SavedConnection(msgspec.Struct, gc=False, rename="camel"):
    """A `pulumi_ampersand.model.Connection` and its `pulumi_ampersand.model.Observation`, as rules see them.

    What begins with ``sent`` is as the API sent it; the attributes below are made from it.
    """

    id: str
    provider: str
    status: str
    project_id: str | None = None
    auth_scheme: str | None = None
    provider_workspace_ref: str | None = None
    provider_consumer_ref: str | None = None
    create_time: str | None = None
    update_time: str | None = None
    group: SavedGroup | None = None
    consumer: SavedConsumer | None = None
    sent_app: msgspec.Raw = msgspec.field(default=_NULL, name="providerApp")
    sent_metadata: dict[str, _MetadataItem | None] | None = msgspec.field(default=None, name="providerMetadata")
    sent_grant: _Grant | None = msgspec.field(default=None, name="oauth2AuthorizationCode")

    # Made of the above for every connection, whatever a file may have under these names.
    provider_app: Any = msgspec.field(default=None, name="=providerApp")
    scopes: Any = msgspec.field(default=None, name="=scopes")
    oauth: Any = msgspec.field(default=False, name="=oauth")
    access_token: Any = msgspec.field(default=None, name="=accessToken")
    refresh_token: Any = msgspec.field(default=None, name="=refreshToken")

    gaps: ClassVar[Mapping[str, str]] = {}

    @property
    def healthy(self) -> bool:
        """See `Connection`."""
        return self.status in HEALTHY_STATUSES

    @property
    def customer(self) -> str:
        """See `Connection`."""
        group, consumer = self.group, self.consumer
        return (group and (group.name or group.ref)) or (consumer and (consumer.name or consumer.ref)) or ""

    def document(self) -> Connection:
        """The same as the dictionary that programs get."""
        sent = {
            "id": self.id,
            "provider": self.provider,
            "healthy": self.healthy,
            "projectId": self.project_id,
            "authScheme": self.auth_scheme,
            "providerWorkspaceRef": self.provider_workspace_ref,
            "providerConsumerRef": self.provider_consumer_ref,
            "createTime": self.create_time,
            "scopes": self.scopes,
            "group": msgspec.to_builtins(self.group),
            "consumer": msgspec.to_builtins(self.consumer),
            "providerApp": self.provider_app,
            "providerMetadata": self._metadata(),
        }
        return Connection({key: value for key, value in sent.items() if value is not None})

    def _metadata(self) -> dict[str, Any] | None:
        if self.sent_metadata is None:
            return None
        return read_metadata(msgspec.json.encode(self.sent_metadata))

    def observed(self) -> Observation:
        """The same as the observation that is kept."""
        return Observation(
            id=self.id,
            status=self.status,
            update_time=self.update_time,
            oauth=self.oauth,
            access_token=self.access_token,
            refresh_token=self.refresh_token,
        )


@without_collection()
def read_for_rules(data: bytes) -> list[SavedConnection] | None:
    """Read a saved answer, which is taken as it stands, in its order.

    Args:
        data: The JSON array, UTF-8.

    Returns:
        The connections; None if something in the answer isn't as the API promises, so that it takes
        `pulumi_ampersand.answers` to read it.
    """
    try:
        found = msgspec.json.decode(data, type=list[SavedConnection])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if may_be_harmful(data) and not all(map(_is_harmless, found)):
        return None
    if len({connection.id for connection in found}) != len(found):
        return None
    return found if _fill_in(found) else None


def _is_harmless(sent: SavedConnection) -> bool:
    """Whether no text that rules look at has what `harmless` takes out."""
    group, consumer, grant = sent.group or SavedGroup(), sent.consumer or SavedConsumer(), sent.sent_grant or _Grant()
    access, refresh = grant.access_token or Token(), grant.refresh_token or Token()
    text = (
        f"{sent.id}{sent.provider}{sent.status}{sent.project_id}{sent.auth_scheme}{sent.provider_workspace_ref}"
        f"{sent.provider_consumer_ref}{sent.create_time}{sent.update_time}{group.ref}{group.name}{group.project_id}"
        f"{group.create_time}{consumer.ref}{consumer.name}{consumer.project_id}{consumer.create_time}"
        f"{access.issued_at}{access.expires_at}{refresh.issued_at}{refresh.expires_at}"
    )
    return text == harmless(text)


def _fill_in(found: Sequence[SavedConnection]) -> bool:
    """Make the attributes, of what many have in common once; False if something isn't as the API promises."""
    apps: dict[bytes, ProviderApp | None] = {}
    scopes: dict[bytes, Sequence[str] | None] = {}
    try:
        for sent in found:
            text = bytes(sent.sent_app)
            if text not in apps:
                apps[text] = _read({"providerApp": sent.sent_app}).provider_app
            sent.provider_app = apps[text]
            # What is kept of the text keeps all of it in memory, tokens included.
            sent.sent_app = _NULL
            grant = sent.sent_grant
            if grant is None:
                sent.scopes, sent.oauth, sent.access_token, sent.refresh_token = None, False, None, None
                continue
            text = bytes(grant.scopes)
            if text not in scopes:
                scopes[text] = _read({"oauth2AuthorizationCode": {"scopes": grant.scopes}}).scopes
            sent.scopes, sent.oauth = scopes[text], True
            sent.access_token, sent.refresh_token = grant.access_token, grant.refresh_token
            sent.sent_grant = None
    except AnswerError:
        return False
    return True


def _read(part: Mapping[str, Any]) -> Connection:
    """A connection of which only a part is of interest.

    Raises:
        AnswerError: That part isn't as the API promises.
    """
    connection, seen = read_connection(
        msgspec.json.encode({"id": "", "provider": "", "status": "", **part}), refresh_token_told=True
    )
    if seen.gaps:
        raise AnswerError("not as promised")
    return connection
