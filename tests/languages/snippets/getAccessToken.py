import pulumi
import pulumi_ampersand_sdk as ampersand

crm = ampersand.get_connection_output(provider="salesforce", group_ref="acme")

# A secret: shown as [secret], and encrypted in the state.
pulumi.export("token", ampersand.get_access_token_output(connection_id=crm.id).access_token)
