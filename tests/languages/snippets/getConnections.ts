import * as ampersand from "@pulumi/ampersand";

const crm = ampersand.getConnectionsOutput({ provider: "salesforce" });

export const customers = crm.connections.apply((found) => found.map((one) => one.group?.groupName));
