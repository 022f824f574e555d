// Makes the calls that CALLS lists, JSON, and exports what each gives, and stashes it: an inline program of the
// Automation API.
//
// See main.ts, which takes the same and does the same.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/events"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

type call struct {
	Name, Function, Way string
	Arguments           map[string]string
}

// text gives an argument, or nothing where there is none.
func (c call) text(name string, later *pulumi.Stash) pulumi.StringPtrInput {
	value, given := c.Arguments[name]
	switch {
	case !given:
		return nil
	case c.Way == "unknown":
		return later.ID().ApplyT(func(pulumi.ID) *string { return &value }).(pulumi.StringPtrOutput)
	default:
		return pulumi.StringPtr(value)
	}
}

func (c call) details() ampersand.DetailsPtrInput {
	if value, given := c.Arguments["details"]; given {
		return ampersand.Details(value)
	}
	return nil
}

func (c call) refresh() ampersand.RefreshPtrInput {
	if value, given := c.Arguments["refresh"]; given {
		return ampersand.Refresh(value)
	}
	return nil
}

// make makes the call.
func (c call) make(ctx *pulumi.Context, later *pulumi.Stash, eu *ampersand.Provider) (pulumi.Input, error) {
	text := func(name string) pulumi.StringPtrInput { return c.text(name, later) }
	options := []pulumi.InvokeOption{}
	if c.Way == "explicit" {
		options = append(options, pulumi.Provider(eu))
	}
	switch c.Function {
	case "getConnections":
		return ampersand.LookupConnectionsOutput(ctx, ampersand.LookupConnectionsOutputArgs{
			GroupRef: text("groupRef"), Details: c.details(),
		}, options...).Connections(), nil
	case "getConnection":
		return ampersand.GetConnectionOutput(ctx, ampersand.GetConnectionOutputArgs{
			ConnectionId: text("connectionId"), GroupRef: text("groupRef"),
		}, options...), nil
	case "getProjects":
		if c.Way == "unknown" {
			options = append(options, pulumi.DependsOn([]pulumi.Resource{later}))
		}
		return ampersand.GetProjectsOutput(ctx, options...).Projects(), nil
	case "getAccessToken":
		id := text("connectionId").ToStringPtrOutput().Elem()
		return ampersand.GetAccessTokenOutput(
			ctx, ampersand.GetAccessTokenOutputArgs{ConnectionId: id}, options...,
		).AccessToken(), nil
	case "Connections":
		resourceOptions := []pulumi.ResourceOption{}
		if c.Way == "explicit" {
			resourceOptions = append(resourceOptions, pulumi.Provider(eu))
		}
		found, err := ampersand.NewConnections(ctx, c.Name, &ampersand.ConnectionsArgs{
			GroupRef: text("groupRef"), Details: c.details(), Refresh: c.refresh(),
		}, resourceOptions...)
		if err != nil {
			return nil, err
		}
		return found.Connections, nil
	}
	return nil, fmt.Errorf("no function %s", c.Function)
}

func program(ctx *pulumi.Context) error {
	var calls []call
	if err := json.Unmarshal([]byte(os.Getenv("CALLS")), &calls); err != nil {
		return err
	}
	settings := config.New(ctx, "")
	later, err := pulumi.NewStash(ctx, "later", &pulumi.StashArgs{Input: pulumi.String("")})
	if err != nil {
		return err
	}
	var eu *ampersand.Provider
	for _, one := range calls {
		if one.Way == "explicit" && eu == nil {
			eu, err = ampersand.NewProvider(ctx, "eu", &ampersand.ProviderArgs{
				ApiKey:  settings.RequireSecret("euKey").ToStringPtrOutput(),
				ApiUrl:  pulumi.StringPtr(settings.Require("euUrl")),
				Project: pulumi.StringPtr(settings.Require("euProject")),
			})
			if err != nil {
				return err
			}
		}
		result, err := one.make(ctx, later, eu)
		if err != nil {
			return err
		}
		ctx.Export(one.Name, result)
		if one.Way == "error" {
			continue
		}
		if _, err := pulumi.NewStash(ctx, one.Name+"-stash", &pulumi.StashArgs{Input: result}); err != nil {
			return err
		}
	}
	return nil
}

// record writes the engine's events to a file until there are no more.
func record(found <-chan events.EngineEvent, done chan<- error) {
	file, err := os.OpenFile("events", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	for event := range found {
		if err == nil {
			err = json.NewEncoder(file).Encode(event.EngineEvent)
		}
	}
	done <- err
}

func deploy(ctx context.Context, operation string, packs []string) error {
	stack, err := auto.SelectStackInlineSource(ctx, "dev", "test", program, auto.WorkDir("."))
	if err != nil {
		return err
	}
	found, done := make(chan events.EngineEvent), make(chan error)
	go record(found, done)
	pack, configuration := packs[:min(len(packs), 1)], packs[min(len(packs), 1):]
	if operation == "preview" {
		_, err = stack.Preview(ctx, optpreview.PolicyPacks(pack...), optpreview.PolicyPackConfigs(configuration...),
			optpreview.ProgressStreams(os.Stdout), optpreview.EventStreams(found))
	} else {
		_, err = stack.Up(ctx, optup.PolicyPacks(pack...), optup.PolicyPackConfigs(configuration...),
			optup.ProgressStreams(os.Stdout), optup.EventStreams(found))
	}
	if writing := <-done; err == nil {
		return writing
	}
	return err
}

func main() {
	if err := deploy(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		// Standard output has the rest.
		fmt.Fprintf(os.Stderr, "%T\n", err)
		os.Exit(1)
	}
}
