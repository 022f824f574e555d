import * as ampersand from "@pulumi/ampersand";

// None or several that match are an error.
const crm = ampersand.getConnectionOutput({ provider: "salesforce", groupRef: "acme" });

export const workspace = crm.providerWorkspaceRef;
