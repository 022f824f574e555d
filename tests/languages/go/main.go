// A deployment in Go that knows nothing of Ampersand: an inline program of Pulumi's Automation API, with one resource.
//
// It takes an operation, "preview" or "up", and the path of a policy pack, and deploys the stack "dev" of the project
// "test" in the current folder. What the engine prints goes to standard output. Exit codes: 0 the operation succeeded,
// 1 it was refused or failed, 2 wrong usage.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The engine provides a stash itself, so the program needs no provider.
func program(ctx *pulumi.Context) error {
	_, err := pulumi.NewStash(ctx, "created", &pulumi.StashArgs{Input: pulumi.String("go")})
	return err
}

func deploy(ctx context.Context, operation, pack string) error {
	stack, err := auto.SelectStackInlineSource(ctx, "dev", "test", program, auto.WorkDir("."))
	if err != nil {
		return err
	}
	if operation == "preview" {
		_, err = stack.Preview(ctx, optpreview.PolicyPacks(pack), optpreview.ProgressStreams(os.Stdout))
	} else {
		_, err = stack.Up(ctx, optup.PolicyPacks(pack), optup.ProgressStreams(os.Stdout))
	}
	return err
}

func main() {
	if len(os.Args) != 3 || (os.Args[1] != "preview" && os.Args[1] != "up") {
		fmt.Fprintln(os.Stderr, "usage: program preview|up POLICY_PACK")
		os.Exit(2)
	}
	if err := deploy(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
