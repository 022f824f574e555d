"""Turns a feature off for customers whose connection isn't healthy, instead of failing.

A policy pack or an expectation stops a deployment when a connection is broken. Here a broken one only costs its
customer the feature: the deployment goes through, and the next one after the customer has authorised again turns it on.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider, UpdateResult

import pulumi_ampersand as ampersand


class DeploymentProvider(ResourceProvider):
    """Keeps a service's environment in a local file: stands for your orchestrator."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Deploy."""
        _deploy(props)
        return CreateResult(props["service"], props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Deploy again."""
        _deploy(_news)
        return UpdateResult(_news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Stop the service, if it is still there."""
        Path(f"{_props['service']}.json").unlink(missing_ok=True)


def _deploy(props: dict[str, Any]) -> None:
    text = json.dumps(props["environment"], indent=2, sort_keys=True) + "\n"
    Path(f"{props['service']}.json").write_text(text, encoding="utf-8")


class Deployment(Resource):
    """A running service.

    Args:
        service: Its name.
        environment: Its environment variables.
        opts: Pulumi's resource options.
    """

    def __init__(
        self,
        service: str,
        *,
        environment: dict[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(DeploymentProvider(), service, {"service": service, "environment": environment}, opts)


def usable(found: Sequence[ampersand.Connection]) -> list[str]:
    """The customers with a connection whose credentials are accepted. One who has no connection isn't among them."""
    return [c.group.ref for c in found if c.healthy and c.group and c.group.ref]


def flag(customer: str) -> pulumi.Output[str]:
    """Whether a customer's data can be synced, as the service's environment has it."""
    return crm.connections.apply(lambda found: "on" if customer in usable(found) else "off")


customers: list[str] = pulumi.Config().require_object("customers")

# Without `expect`, a connection that is broken or isn't there is a value like any other. The status stands in the list,
# so that details="never" suffices: one request, however many customers there are.
crm = ampersand.Connections("crm", provider="salesforce", details="never")

flags = {customer: flag(customer) for customer in customers}
for customer, value in flags.items():
    Deployment(f"sync-{customer}", environment={"CUSTOMER": customer, "CRM_SYNC": value})

pulumi.export("crmSync", flags)
