package main

import (
	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		crm := ampersand.GetConnectionOutput(ctx, ampersand.GetConnectionOutputArgs{
			Provider: pulumi.StringPtr("salesforce"),
			GroupRef: pulumi.StringPtr("acme"),
		})
		// A secret: shown as [secret], and encrypted in the state.
		token := ampersand.GetAccessTokenOutput(ctx, ampersand.GetAccessTokenOutputArgs{ConnectionId: crm.Id()})
		ctx.Export("token", token.AccessToken())
		return nil
	})
}
