"""A dynamic provider's process, talked to as the engine does."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2_grpc

from plugin import Plugin, struct
from pulumi_ampersand.terminal import one_line

RECORDED = "gASVOAAAAAAAAACMGXB1bHVtaV9hbXBlcnNhbmQucHJvdmlkZXKUjBNDb25uZWN0aW9uc1Byb3ZpZGVylJOUKYGULg=="
"""What states hold as ``__provider``, recorded with version 0.1.0. Never change it: old states must stay usable."""


class Provider:
    """A dynamic provider's process, talked to as the engine does.

    Args:
        folder: Its working directory, the Pulumi program's.
        environment: Its environment, besides what the engine adds.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.plugin = Plugin("pulumi.dynamic", folder=folder, PULUMI_PROJECT="test", **environment)
        self.engine = provider_pb2_grpc.ResourceProviderStub(self.plugin.channel)
        self.answers: list[Any] = []
        self._runs = 0
        self._recorded = RECORDED

    def begin(self) -> None:
        """Begin another run in the same process: with an instance that has read nothing.

        The SDK keeps one instance for each text under ``__provider``; what follows the end of a pickle says nothing.
        """
        self._runs += 1
        self._recorded = base64.b64encode(base64.b64decode(RECORDED) + str(self._runs).encode()).decode()

    def configure(self, config: Mapping[str, Any]) -> None:
        """Tell it the stack's configuration under full keys."""
        answer = self.engine.Configure(proto.ConfigureRequest(args=struct(dict(config)), acceptSecrets=True))
        assert not answer.acceptSecrets, "or filters would arrive wrapped"

    def check(self, news: dict[str, Any], olds: dict[str, Any] | None = None) -> dict[str, Any]:
        """The inputs that it makes of a program's, where nothing fails."""
        inputs, failures = self.try_check(news, olds)
        assert failures == []
        assert inputs.pop("__provider") == self._recorded
        return inputs

    def failure(self, news: dict[str, Any]) -> str:
        """Why it refuses a program's inputs: one line that the engine prints without any property's value."""
        _, ((name, reason),) = self.try_check(news)
        assert name == ""
        assert reason == one_line(reason)
        return reason

    def try_check(
        self, news: dict[str, Any], olds: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Inputs and failures."""
        answer = self.engine.Check(proto.CheckRequest(urn=_URN, olds=self._with(olds or {}), news=self._with(news)))
        self.answers.append(answer)
        return json_format.MessageToDict(answer.inputs), [(item.property, item.reason) for item in answer.failures]

    def changes(self, olds: dict[str, Any], news: dict[str, Any]) -> bool:
        """Whether new inputs differ from old outputs."""
        answer = self.engine.Diff(proto.DiffRequest(id="id", urn=_URN, olds=self._with(olds), news=self._with(news)))
        assert not answer.replaces
        return {proto.DiffResponse.DIFF_SOME: True, proto.DiffResponse.DIFF_NONE: False}[answer.changes]

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The ID and outputs of a new resource."""
        answer = self.engine.Create(proto.CreateRequest(urn=_URN, properties=self._with(properties)))
        return answer.id, self._properties(answer.properties)

    def update(self, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """The outputs of a changed resource."""
        answer = self.engine.Update(
            proto.UpdateRequest(id="id", urn=_URN, olds=self._with(olds), news=self._with(news))
        )
        return self._properties(answer.properties)

    def read(self, properties: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a refresh makes of outputs: outputs and inputs."""
        answer = self.engine.Read(proto.ReadRequest(id="id", urn=_URN, properties=self._with(properties)))
        assert answer.id == "id"
        return self._properties(answer.properties), self._properties(answer.inputs)

    def read_error(self, properties: dict[str, Any]) -> str:
        """Why a refresh fails: one line."""
        with pytest.raises(grpc.RpcError) as caught:
            self.read(properties)
        details: Any = caught.value
        assert details.details() == one_line(details.details())
        return str(details.details())

    def delete(self, properties: dict[str, Any]) -> None:
        """Forget a resource."""
        self.engine.Delete(proto.DeleteRequest(id="id", urn=_URN, properties=self._with(properties)))

    def _properties(self, message: Any) -> dict[str, Any]:
        self.answers.append(message)
        properties: dict[str, Any] = json_format.MessageToDict(message)
        assert properties.pop("__provider") == self._recorded
        return properties

    def _with(self, properties: dict[str, Any]) -> Any:
        return struct({**properties, "__provider": self._recorded})


_URN = "urn:pulumi:dev::test::pulumi-python:dynamic/ampersand:Connections::all"
