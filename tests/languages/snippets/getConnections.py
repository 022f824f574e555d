import pulumi
import pulumi_ampersand_sdk as ampersand

crm = ampersand.get_connections_output(provider="salesforce")

pulumi.export("customers", crm.connections.apply(lambda found: [one.group.group_name for one in found if one.group]))
