package main

import (
	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		// None or several that match are an error.
		crm := ampersand.GetConnectionOutput(ctx, ampersand.GetConnectionOutputArgs{
			Provider: pulumi.StringPtr("salesforce"),
			GroupRef: pulumi.StringPtr("acme"),
		})
		ctx.Export("workspace", crm.ProviderWorkspaceRef())
		return nil
	})
}
