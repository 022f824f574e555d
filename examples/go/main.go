// Turns a feature off for customers whose connection isn't healthy, instead of failing.
//
// A policy pack or an expectation stops a deployment when a connection is broken. Here a broken one only costs its
// customer the feature: the deployment goes through, and the next one after the customer has authorised again turns it
// on. The resource's reads show as changes in a preview, and the policy pack judges them.
package main

import (
	"encoding/json"

	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// usable gives the customers with a connection whose credentials are accepted. One who has none isn't among them.
func usable(document string) (map[string]bool, error) {
	var read struct{ Connections []ampersand.Connection }
	if err := json.Unmarshal([]byte(document), &read); err != nil {
		return nil, err
	}
	customers := map[string]bool{}
	for _, connection := range read.Connections {
		if connection.Healthy && connection.Group != nil && connection.Group.GroupRef != nil {
			customers[*connection.Group.GroupRef] = true
		}
	}
	return customers, nil
}

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		var customers []string
		if err := config.New(ctx, "").TryObject("customers", &customers); err != nil {
			return err
		}
		// Health stands in the list, so that "never" suffices: one request, however many customers there are.
		crm, err := ampersand.NewConnections(ctx, "crm", &ampersand.ConnectionsArgs{
			Provider: pulumi.StringPtr("salesforce"),
			Details:  ampersand.DetailsNever,
		})
		if err != nil {
			return err
		}
		flags := pulumi.StringMap{}
		for _, customer := range customers {
			flag := crm.Connections.ApplyT(func(document string) (string, error) {
				found, err := usable(document)
				if found[customer] {
					return "on", err
				}
				return "off", err
			}).(pulumi.StringOutput)
			// Stands for a deployment of your orchestrator.
			environment := pulumi.Map{"CUSTOMER": pulumi.String(customer), "CRM_SYNC": flag}
			if _, err := pulumi.NewStash(ctx, "sync-"+customer, &pulumi.StashArgs{Input: environment}); err != nil {
				return err
			}
			flags[customer] = flag
		}
		ctx.Export("crmSync", flags)
		return nil
	})
}
