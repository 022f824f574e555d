"""The same reads for programs in every language: a provider plugin, as the engine runs it.

The engine starts ``pulumi-resource-ampersand`` and calls it on its own protocol. Its functions and its resource are
those of this package, in another spelling; its schema, from which SDKs are made, is ``schemas/package.json``.

The SDK's ``pulumi.provider.experimental`` isn't used because it may change with any version, and because it answers
every error with a traceback.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from contextlib import suppress
from importlib import resources
from typing import Any, Final, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.dynamic import CheckFailure, ConfigureRequest
from pulumi.output import Unknown, contains_unknowns
from pulumi.runtime import proto, rpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

from pulumi_ampersand._version import __version__
from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.engine import MESSAGE_LIMIT, end_with_the_engine
from pulumi_ampersand.errors import AmpersandError, SettingsError
from pulumi_ampersand.provider import ConnectionsProvider
from pulumi_ampersand.query import PROPERTIES, Query
from pulumi_ampersand.settings import API_KEY, NAMESPACE, Settings, unknown_keys
from pulumi_ampersand.terminal import one_line

_T = TypeVar("_T")

RESOURCE: Final = f"{NAMESPACE}:index:Connections"
"""The type of the resource."""

_FILTERS: Final = ("project", "provider", "groupRef", "consumerRef", "details", "refresh")
_INPUTS: Final = (*_FILTERS, "expect")
_AT_ONCE: Final = 32
"""How many calls are answered at once; most of them wait for the network."""

_WAITING: Final = 4096
"""How many calls may wait for that: one that cancels them all must not have to wait behind them."""

_OF_THE_ENGINE: Final = ("version", "pluginDownloadURL")
"""What the engine puts among a provider's settings for itself."""

_PROXY: Final = "proxy"
_ARGUMENT: Final = re.compile(rf"(?<!\")\b(?:{'|'.join(PROPERTIES)})\b")
_LOG_SECONDS: Final = 10.0

_OPTIONS: Final = [(f"grpc.max_{way}_message_length", MESSAGE_LIMIT) for way in ("receive", "send")]


def _connections(source: Any, query: Query) -> dict[str, Any]:
    from pulumi_ampersand.functions import read_connections  # noqa: PLC0415 - deleting needs no client

    return {"connections": read_connections(source, query)}


def _connection(source: Any, query: Query) -> dict[str, Any]:
    from pulumi_ampersand.functions import read_connection  # noqa: PLC0415 - likewise

    return read_connection(source, query)


def _projects(source: Any, query: Query) -> dict[str, Any]:
    from pulumi_ampersand.functions import read_projects  # noqa: PLC0415 - likewise

    return {"projects": read_projects(source, query)}


def _access_token(source: Any, query: Query) -> dict[str, Any]:
    from pulumi_ampersand.functions import read_access_token  # noqa: PLC0415 - likewise

    return {"accessToken": rpc.wrap_rpc_secret(read_access_token(source, query))}


FUNCTIONS: Final[dict[str, tuple[Callable[[Any, Query], dict[str, Any]], tuple[str, ...]]]] = {
    "getConnections": (_connections, _FILTERS),
    "getConnection": (_connection, ("connectionId", *_FILTERS)),
    "getProjects": (_projects, ()),
    "getAccessToken": (_access_token, ("connectionId", "project", "refresh")),
}
"""What each function reads, and the names of its arguments."""


class _NativeProvider(ConnectionsProvider):
    """The data source's provider, here without being told which resources one depends on."""

    keep_answers = False


class Servicer(proto.ResourceProviderServicer):
    """Answers the engine.

    Args:
        environ: The environment, for an API key, root and project that the configuration doesn't give.
        engine: The engine's address, for warnings; empty if there is none.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, engine: str = "") -> None:
        self._environ = environ
        self._engine = engine
        self._config: dict[str, Any] = {}
        self._provider = _NativeProvider()
        self._lock = threading.Lock()
        self._reads: dict[bool, Any] = {}
        self._workers = futures.ThreadPoolExecutor(_AT_ONCE)
        self._cancelled: futures.Future[None] = futures.Future()

    def Handshake(
        self, request: proto.ProviderHandshakeRequest, _context: grpc.ServicerContext
    ) -> proto.ProviderHandshakeResponse:
        """Secrets come as what they are: the engine remembers that the properties of the same name are secret."""
        self._engine = request.engine_address or self._engine
        return proto.ProviderHandshakeResponse()

    def Cancel(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Leave everybody alone who waits for the API."""
        if not self._cancelled.done():
            self._cancelled.set_result(None)
        return empty_pb2.Empty()

    def GetPluginInfo(self, _request: empty_pb2.Empty, _context: grpc.ServicerContext) -> proto.PluginInfo:
        """The version."""
        return proto.PluginInfo(version=__version__)

    def GetSchema(self, _request: proto.GetSchemaRequest, _context: grpc.ServicerContext) -> proto.GetSchemaResponse:
        """What there is, for the generators of SDKs and for YAML."""
        return proto.GetSchemaResponse(schema=package_schema())

    def CheckConfig(self, request: proto.CheckRequest, _context: grpc.ServicerContext) -> proto.CheckResponse:
        """Refuse what means nothing, and keep what the state needn't hold out of it.

        The engine tells every process the stack's configuration, so its keys need lie nowhere else, and one that was
        rotated is used from then on. An explicit provider's lie in the state, encrypted, for there alone they are.
        """
        given = rpc.deserialize_properties(request.news, keep_unknowns=True)
        names = [f"{NAMESPACE}:{name}" for name in given if name not in _OF_THE_ENGINE]
        wrong = unknown_keys(names, self._environ.get("PULUMI_PROJECT", ""))
        if not _is_default(request.urn):
            # The stack's configuration has no part in it.
            wrong = [text.partition("; run: ")[0] for text in wrong]
        told = self._told(request.urn)
        inputs = {}
        for name, value in given.items():
            is_key = isinstance(value, str) and name.startswith(API_KEY)
            # A proxy's URL may hold a password.
            hidden = is_key or (isinstance(value, str) and name == _PROXY)
            if not is_key or value != told.get(name):
                inputs[name] = rpc.wrap_rpc_secret(value) if hidden else value
        return proto.CheckResponse(inputs=_struct(inputs), failures=_failures(CheckFailure("", text) for text in wrong))

    def DiffConfig(self, request: proto.DiffRequest, _context: grpc.ServicerContext) -> proto.DiffResponse:
        """No setting makes other resources of what was read."""
        return _difference(request.olds != request.news)

    def Configure(self, request: proto.ConfigureRequest, _context: grpc.ServicerContext) -> proto.ConfigureResponse:
        """Take the settings. Neither fails nor connects: deleting must work without key and network."""
        given = {**self._told(request.urn), **rpc.deserialize_properties(request.args)}
        self._config = {f"{NAMESPACE}:{name}": rpc.unwrap_rpc_secret(value) for name, value in given.items()}
        self._provider.configure(ConfigureRequest(self._config))  # type: ignore[arg-type]
        return proto.ConfigureResponse(supportsPreview=True)

    def Invoke(self, request: proto.InvokeRequest, context: grpc.ServicerContext) -> proto.InvokeResponse:
        """Call a function."""
        given = rpc.deserialize_properties(request.args, keep_unknowns=True)
        package, _, name = request.tok.rpartition(":")
        if package != f"{NAMESPACE}:index" or name not in FUNCTIONS:
            hint = nearest(name, FUNCTIONS)
            return _refuse(context, SettingsError(f"there is no function {request.tok}{hint}"))
        read, arguments = FUNCTIONS[name]

        def work() -> dict[str, Any]:
            return read(self._source(kept=request.preview), Query(**_asked(given, arguments)))

        answer = proto.InvokeResponse()
        getattr(answer, "return").update(self._result(work, context))
        return answer

    def Check(self, request: proto.CheckRequest, context: grpc.ServicerContext) -> proto.CheckResponse:
        """See `ConnectionsProvider.check`."""
        olds = rpc.deserialize_properties(request.olds, keep_unknowns=True)
        news = rpc.deserialize_properties(request.news, keep_unknowns=True)
        self._known(request.urn, context)
        if wrong := [name for name in news if name not in _INPUTS]:
            hints = [f'Connections has no input "{name}"{nearest(name, _INPUTS)}' for name in wrong]
            return proto.CheckResponse(failures=_failures(CheckFailure("", one_line(hint)) for hint in hints))
        if isinstance(news.get("expect"), Unknown):
            del news["expect"]
        result = self._result(lambda: self._provider.check(olds, news), context)
        return proto.CheckResponse(
            inputs=None if result.failures else _struct(result.inputs), failures=_failures(result.failures)
        )

    def Diff(self, request: proto.DiffRequest, _context: grpc.ServicerContext) -> proto.DiffResponse:
        """See `ConnectionsProvider.diff`."""
        olds = rpc.deserialize_properties(request.olds, keep_unknowns=True)
        news = rpc.deserialize_properties(request.news, keep_unknowns=True)
        return _difference(bool(self._provider.diff(request.id, olds, news).changes))

    def Create(self, request: proto.CreateRequest, _context: grpc.ServicerContext) -> proto.CreateResponse:
        """See `ConnectionsProvider.create`. In a preview, too, whose outputs are those of the update."""
        made = self._provider.create(rpc.deserialize_properties(request.properties, keep_unknowns=True))
        return proto.CreateResponse(id="" if request.preview else made.id, properties=_struct(made.outs or {}))

    def Read(self, request: proto.ReadRequest, context: grpc.ServicerContext) -> proto.ReadResponse:
        """See `ConnectionsProvider.read`."""
        props = rpc.deserialize_properties(request.properties)
        # An import tells nothing but the ID; what a program asks for by an ID, no policy pack sees.
        if "connections" not in props:
            return _refuse(context, SettingsError("Connections is read, not imported: give filters instead"))
        result = self._result(lambda: self._provider.read(request.id, props), context)
        inputs, outputs = _struct(result.inputs or {}), _struct(result.outs or {})
        return proto.ReadResponse(id=request.id, properties=outputs, inputs=inputs)

    def Update(self, request: proto.UpdateRequest, _context: grpc.ServicerContext) -> proto.UpdateResponse:
        """See `ConnectionsProvider.update`."""
        olds = rpc.deserialize_properties(request.olds, keep_unknowns=True)
        news = rpc.deserialize_properties(request.news, keep_unknowns=True)
        return proto.UpdateResponse(properties=_struct(self._provider.update(request.id, olds, news).outs or {}))

    def Delete(self, _request: proto.DeleteRequest, _context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Nothing to delete."""
        return empty_pb2.Empty()

    def _told(self, urn: str) -> dict[str, Any]:
        """The stack's configuration under `NAMESPACE`, if it is for the provider with this URN.

        For those that the engine makes by itself it is.
        """
        if not _is_default(urn):
            return {}
        told: dict[str, Any] = json.loads(self._environ.get("PULUMI_CONFIG", "{}"))
        return told

    def _known(self, urn: str, context: grpc.ServicerContext) -> None:
        kind = urn.split("::")[2].rpartition("$")[2]
        if kind != RESOURCE:
            _refuse(context, SettingsError(f"there is no resource {kind}, only {RESOURCE}"))

    def _source(self, *, kept: bool) -> Any:
        """What functions read: in a preview, which changes nothing, each answer once."""
        from pulumi_ampersand.reads import Reads  # noqa: PLC0415 - deleting needs no client

        with self._lock:
            if kept not in self._reads:
                self._reads[kept] = Reads(Settings(), self._config, self._environ, keep=kept, warn=self._warn)
            return self._reads[kept]

    def _result(self, work: Callable[[], _T], context: grpc.ServicerContext) -> _T:
        """What the work comes to, unless the engine is interrupted meanwhile."""
        working = self._workers.submit(work)
        ends: list[futures.Future[Any]] = [working, self._cancelled]
        futures.wait(ends, return_when=futures.FIRST_COMPLETED)
        if not working.done():
            _refuse(context, AmpersandError("interrupted"))
        try:
            return working.result()
        except AmpersandError as error:
            _refuse(context, error)

    def _warn(self, message: str) -> None:
        if not self._engine:
            return
        # An engine that is gone can be told nothing.
        with suppress(grpc.RpcError), grpc.insecure_channel(self._engine) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(
                engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=message), timeout=_LOG_SECONDS
            )


def package_schema() -> str:
    """The schema of the package, JSON."""
    text = resources.files("pulumi_ampersand").joinpath("schemas/package.json").read_text(encoding="utf-8")
    return json.dumps({**json.loads(text), "version": __version__})


def _asked(given: Mapping[str, Any], arguments: tuple[str, ...]) -> dict[str, Any]:
    """A query's arguments.

    Raises:
        SettingsError: A name isn't an argument, or a value isn't known yet.
    """
    for name, value in given.items():
        if name not in arguments:
            raise SettingsError(f'there is no argument "{name}"{nearest(name, arguments)}')
        if contains_unknowns(value):
            raise SettingsError(f"{name} isn't known yet")
    names = {spelling: name for name, spelling in PROPERTIES.items()}
    return {names[name]: value for name, value in given.items()}


def _is_default(urn: str) -> bool:
    """Whether the engine made this provider by itself, of the stack's configuration: by the name that it gives it."""
    name = urn.rpartition("::")[2]
    return name == "default" or name.startswith("default_")


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update({name: _sent(value) for name, value in values.items()})
    return message


def _sent(value: Any) -> Any:
    """A value as it travels, where parts of it may not be known yet."""
    if isinstance(value, Unknown):
        return rpc.UNKNOWN
    if isinstance(value, Mapping):
        return {name: _sent(part) for name, part in value.items()}
    return [_sent(part) for part in value] if isinstance(value, list) else value


def _spelled(sentence: str) -> str:
    """An error that names an argument, in the spelling that programs have it in."""
    return _ARGUMENT.sub(lambda name: PROPERTIES[name[0]], sentence)


def _failures(failures: Any) -> list[proto.CheckFailure]:
    return [proto.CheckFailure(property=failure.property, reason=_spelled(failure.reason)) for failure in failures]


def _difference(changes: bool) -> proto.DiffResponse:
    return proto.DiffResponse(changes=proto.DiffResponse.DIFF_SOME if changes else proto.DiffResponse.DIFF_NONE)


def _refuse(context: grpc.ServicerContext, error: AmpersandError) -> NoReturn:
    """Answer with an error, a sentence that the engine shows as it is."""
    context.abort(grpc.StatusCode.UNKNOWN, _spelled(str(error)))
    raise AssertionError


def main() -> None:
    """Run the plugin: print a port, answer the engine until it ends this process."""
    server = grpc.server(futures.ThreadPoolExecutor(_WAITING), options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(engine="".join(sys.argv[1:2])), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    end_with_the_engine()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        # Nobody waits for calls that wait for the API.
        os._exit(0)


if __name__ == "__main__":
    main()
