// Many customers, one component each.
//
// Every customer who has a connection gets what its integration needs. Here that is one entry in the stack's state for
// each connection; with a cloud at hand it would be a queue, a schedule, an alarm. A customer who connects is one
// component more in the next preview, and one whose last connection is gone is one less.
import * as pulumi from "@pulumi/pulumi";
import * as ampersand from "@pulumi/ampersand";

type Connection = ampersand.types.output.Connection;

/** What one customer's integrations need: a route for each connection. */
class Customer extends pulumi.ComponentResource {
  constructor(ref: string, connections: Connection[], opts?: pulumi.ComponentResourceOptions) {
    super("customers:index:Customer", ref, {}, opts);
    for (const { id, provider, providerWorkspaceRef } of connections) {
      // By the connection's ID, which stays when the customer renames things.
      new pulumi.Stash(id, { input: { provider, workspace: providerWorkspaceRef ?? null } }, { parent: this });
    }
    this.registerOutputs();
  }
}

/** The connections of each customer, customers without an ID of yours left out. */
function byCustomer(found: Connection[]): Map<string, Connection[]> {
  const customers = new Map<string, Connection[]>();
  for (const connection of found) {
    const ref = connection.group?.groupRef;
    if (ref) {
      customers.set(ref, [...(customers.get(ref) ?? []), connection]);
    }
  }
  return customers;
}

// The loop needs values, not outputs, so the plain function reads them while the program runs. Routes need neither
// scopes nor token times: "never" costs one request, however many connections there are.
module.exports = async () => {
  const { connections } = await ampersand.getConnections({ details: "never" });
  const customers = byCustomer(connections);
  for (const [ref, found] of customers) {
    new Customer(ref, found);
  }
  return { customers: Object.fromEntries([...customers].map(([ref, found]) => [ref, found.map((one) => one.id)])) };
};
