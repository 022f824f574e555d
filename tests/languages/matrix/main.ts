// Makes the calls that CALLS lists, JSON, and exports what each gives, and stashes it: an inline program of the
// Automation API.
//
// A call has a name for its output, a function or "Connections", arguments, and a way: "unknown" with arguments that
// depend on a resource, or depending on it itself; "explicit" by a provider with a key of its own; any other as it is. What
// fails, "error", isn't stashed: it is to be said once.
//
// The program takes an operation, "preview" or "up", and the paths of a policy pack and its configuration, if any, and
// deploys the stack "dev" of the project "test" in the current folder. What the engine prints goes to standard output,
// what becomes of resources goes to the file "events". Exit codes: 0 the operation succeeded, 1 it was refused or failed.
import { appendFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { type EngineEvent, LocalWorkspace } from "@pulumi/pulumi/automation/index.js";
import * as ampersand from "@pulumi/ampersand";

interface Call {
  name: string;
  function: string;
  arguments: Record<string, string>;
  way: string;
}

const calls: Call[] = JSON.parse(process.env["CALLS"] ?? "[]");

async function program(): Promise<Record<string, unknown>> {
  const config = new pulumi.Config();
  const later = new pulumi.Stash("later", { input: "" });
  const explicit = calls.some(({ way }) => way === "explicit");
  const eu = explicit
    ? new ampersand.Provider("eu", {
        apiKey: config.requireSecret("euKey"),
        apiUrl: config.require("euUrl"),
        project: config.require("euProject"),
      })
    : undefined;
  const exported: Record<string, unknown> = {};
  for (const call of calls) {
    const unknown = call.way === "unknown";
    const given: Record<string, pulumi.Input<string>> = {};
    for (const [name, value] of Object.entries(call.arguments)) {
      given[name] = unknown ? later.id.apply(() => value) : value;
    }
    // What the arguments are, CALLS says; the compiler needn't know.
    const options: any = call.way === "explicit" ? { provider: eu } : {};
    const after = unknown ? { dependsOn: [later] } : options;
    const read: Record<string, () => pulumi.Input<unknown>> = {
      getConnections: () => ampersand.getConnectionsOutput(given as any, options).connections,
      getConnection: () => ampersand.getConnectionOutput(given as any, options),
      getProjects: () => ampersand.getProjectsOutput(after).projects,
      getAccessToken: () => ampersand.getAccessTokenOutput(given as any, options).accessToken,
      Connections: () => new ampersand.Connections(call.name, given as any, options).connections,
    };
    exported[call.name] = read[call.function]?.();
    if (call.way !== "error") {
      new pulumi.Stash(`${call.name}-stash`, { input: exported[call.name] });
    }
  }
  return exported;
}

const [operation, pack, configuration] = process.argv.slice(2);
const source = { stackName: "dev", projectName: "test", program };
const stack = await LocalWorkspace.selectStack(source, { workDir: "." });
const options = {
  policyPacks: pack ? [pack] : [],
  policyPackConfigs: configuration ? [configuration] : [],
  onOutput: (text: string) => void process.stdout.write(text),
  onEvent: (event: EngineEvent) => {
    // Others hold what Pulumi's SDK for Node logs for its own authors: whole results, secrets in plain text.
    if (event.resOutputsEvent) {
      appendFileSync("events", `${JSON.stringify(event)}\n`);
    }
  },
};
try {
  await (operation === "preview" ? stack.preview(options) : stack.up(options));
} catch (error) {
  // Standard output has the rest.
  console.error((error as Error).name);
  process.exitCode = 1;
}
