import * as ampersand from "@pulumi/ampersand";

export const projects = ampersand.getProjectsOutput().projects.apply((found) => found.map((one) => one.name));
