package main

import (
	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		// Called so because the resource has the function's own name.
		crm := ampersand.LookupConnectionsOutput(ctx, ampersand.LookupConnectionsOutputArgs{
			Provider: pulumi.StringPtr("salesforce"),
		})
		ctx.Export("customers", crm.Connections().ApplyT(func(found []ampersand.Connection) []string {
			var names []string
			for _, one := range found {
				if one.Group != nil && one.Group.GroupName != nil {
					names = append(names, *one.Group.GroupName)
				}
			}
			return names
		}))
		return nil
	})
}
