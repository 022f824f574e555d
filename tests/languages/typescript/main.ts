// A deployment in TypeScript that knows nothing of Ampersand: an inline program of Pulumi's Automation API, with one
// resource. Node runs it as it stands, by leaving the types out.
//
// It takes an operation, "preview" or "up", and the path of a policy pack, and deploys the stack "dev" of the project
// "test" in the current folder. What the engine prints goes to standard output. Exit codes: 0 the operation succeeded,
// 1 it was refused or failed, 2 wrong usage.
import * as pulumi from "@pulumi/pulumi";
import { LocalWorkspace } from "@pulumi/pulumi/automation/index.js";

// The engine provides a stash itself, so the program needs no provider.
async function program(): Promise<void> {
  new pulumi.Stash("created", { input: "nodejs" });
}

async function deploy(operation: "preview" | "up", pack: string): Promise<void> {
  const source = { stackName: "dev", projectName: "test", program };
  const stack = await LocalWorkspace.selectStack(source, { workDir: "." });
  const options = { policyPacks: [pack], onOutput: (text: string) => void process.stdout.write(text) };
  await (operation === "preview" ? stack.preview(options) : stack.up(options));
}

const [operation, pack, ...others] = process.argv.slice(2);
if ((operation !== "preview" && operation !== "up") || pack === undefined || others.length > 0) {
  console.error("usage: main.ts preview|up POLICY_PACK");
  process.exit(2);
}
try {
  await deploy(operation, pack);
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
}
