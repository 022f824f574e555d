//go:build programs

// What programs under test import beside what the hosts do, so that go.mod and go.sum are good for both.
package main

import (
	_ "github.com/pulumi/pulumi/sdk/v3/go/auto"
	_ "github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)
