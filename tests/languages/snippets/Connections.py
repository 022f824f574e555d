import json

import pulumi
import pulumi_ampersand_sdk as ampersand

crm = ampersand.Connections("crm", provider="salesforce", expect={"min": 1, "scopes": ["api"]})

pulumi.export("ids", crm.connections.apply(lambda text: [one["id"] for one in json.loads(text)["connections"]]))
