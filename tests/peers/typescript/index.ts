// The four rules as a policy pack in TypeScript, which reads the API when it is shown the stack itself.
import * as http from "http";
import * as https from "https";
import { PolicyPack, ResourceValidationPolicy } from "@pulumi/policy";

interface Token {
    expiresAt?: string;
}

interface Connection {
    id: string;
    provider: string;
    status: string;
    authScheme?: string;
    group: { groupName: string };
    oauth2AuthorizationCode?: { accessToken?: Token; refreshToken?: Token; scopes: string[] };
}

const REQUIRED_SCOPES: { [provider: string]: string[][] | undefined } = {
    salesforce: [["api"], ["refresh_token", "offline_access"]],
    hubspot: [["oauth"], ["crm.objects.contacts.read"]],
    google: [["https://www.googleapis.com/auth/gmail.readonly"]],
    microsoft: [["offline_access"], ["https://graph.microsoft.com/Mail.Read", "Mail.Read"]],
    slack: [["channels:read"]],
};
const DENIED_SCHEMES = ["none", "basic", "oauth2/password"];
const LIMIT = Date.now() + 7 * 24 * 3600 * 1000;

type Rule = (connection: Connection) => string | undefined;

const RULES: { [name: string]: Rule } = {
    "no-bad-credentials": ({ status }) =>
        status === "bad_credentials" ? "the provider refuses its credentials" : undefined,
    "required-scopes": ({ provider, oauth2AuthorizationCode: grant }) => {
        const missing = ((grant && REQUIRED_SCOPES[provider]) || [])
            .filter((choices) => !choices.some((scope) => grant!.scopes.includes(scope)))
            .map((choices) => choices.join(" or "));
        return missing.length > 0 ? `not granted: ${missing.join(", ")}` : undefined;
    },
    "token-expiry": ({ oauth2AuthorizationCode: grant }) => {
        const expires = ((grant && (grant.refreshToken || grant.accessToken)) || {}).expiresAt;
        return expires && Date.parse(expires) < LIMIT ? `its token expires at ${expires}` : undefined;
    },
    "allowed-auth-schemes": ({ authScheme }) =>
        authScheme && DENIED_SCHEMES.includes(authScheme)
            ? `its authentication scheme ${authScheme} is denied`
            : undefined,
};

let answer: Promise<Connection[]> | undefined;

function connections(): Promise<Connection[]> {
    answer = answer || read();
    return answer;
}

function read(): Promise<Connection[]> {
    const { AMP_API_URL: root = "", AMP_PROJECT: project, AMP_API_KEY: key = "" } = process.env;
    const client = root.startsWith("https:") ? https : http;
    return new Promise((resolve, reject) => {
        const options = { headers: { "X-Api-Key": key } };
        const request = client.get(`${root}/v1/projects/${project}/connections`, options, (response) => {
            if (response.statusCode !== 200) {
                reject(new Error(`the API answered with ${response.statusCode}`));
                response.resume();
                return;
            }
            const chunks: Buffer[] = [];
            response.on("data", (chunk: Buffer) => chunks.push(chunk));
            response.on("error", reject);
            response.on("end", () => {
                try {
                    resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")));
                } catch (error) {
                    reject(error);
                }
            });
        });
        request.on("error", reject);
    });
}

function policy(name: string, rule: Rule): ResourceValidationPolicy {
    return {
        name,
        description: `Connections keep ${name}.`,
        enforcementLevel: "advisory",
        validateResource: async (args, reportViolation) => {
            if (args.type !== "pulumi:pulumi:Stack") {
                return;
            }
            for (const connection of await connections()) {
                const cause = rule(connection);
                if (cause) {
                    reportViolation(`${connection.id} (${connection.provider}, ${connection.group.groupName}): ${cause}`);
                }
            }
        },
    };
}

new PolicyPack("typescript-peer", { policies: Object.keys(RULES).map((name) => policy(name, RULES[name])) });
