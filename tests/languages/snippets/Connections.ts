import * as ampersand from "@pulumi/ampersand";

const crm = new ampersand.Connections("crm", { provider: "salesforce", expect: { min: 1, scopes: ["api"] } });

export const ids = crm.connections.apply((text) => JSON.parse(text).connections.map((one: { id: string }) => one.id));
