"""A stack that knows nothing of connections. The policy pack's gate mode checks them before anything is created."""

import pulumi

pulumi.export("greeting", "deployed")
