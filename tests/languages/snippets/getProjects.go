package main

import (
	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		ctx.Export("projects", ampersand.GetProjectsOutput(ctx).Projects())
		return nil
	})
}
