package main

import (
	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		crm, err := ampersand.NewConnections(ctx, "crm", &ampersand.ConnectionsArgs{
			Provider: pulumi.StringPtr("salesforce"),
			Expect:   &ampersand.ExpectArgs{Min: pulumi.IntPtr(1), Scopes: pulumi.Array{pulumi.String("api")}},
		})
		if err != nil {
			return err
		}
		ctx.Export("connections", crm.Connections)
		return nil
	})
}
