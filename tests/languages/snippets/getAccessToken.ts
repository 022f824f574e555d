import * as ampersand from "@pulumi/ampersand";

const crm = ampersand.getConnectionOutput({ provider: "salesforce", groupRef: "acme" });

// A secret: shown as [secret], and encrypted in the state.
export const token = ampersand.getAccessTokenOutput({ connectionId: crm.id }).accessToken;
