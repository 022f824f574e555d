import pulumi
import pulumi_ampersand_sdk as ampersand

# None or several that match are an error.
crm = ampersand.get_connection_output(provider="salesforce", group_ref="acme")

pulumi.export("workspace", crm.provider_workspace_ref)
