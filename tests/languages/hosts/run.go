package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-yaml/pkg/pulumiyaml"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

const toldTheUser = 32 // the exit code of a program whose error the SDK has shown

var errToldTheUser = errors.New("the user has been told")

// Run runs a program to its end.
func (h *host) Run(ctx context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	if h.run == nil {
		return h.UnimplementedLanguageRuntimeServer.Run(ctx, req)
	}
	switch err := h.run(h, ctx, req); {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case errors.Is(err, errToldTheUser):
		return &pulumirpc.RunResponse{Bail: true}, nil
	default:
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
}

// runChild runs a program that is a process of its own.
func (h *host) runChild(ctx context.Context, cmd *exec.Cmd) error {
	// Copied by this process, because Node would make the engine's own pipes non-blocking.
	cmd.Stdout, cmd.Stderr = struct{ io.Writer }{os.Stdout}, struct{ io.Writer }{os.Stderr}
	err := h.children.run(ctx, cmd)
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return err
	case exit.ExitCode() == toldTheUser:
		return errToldTheUser
	default:
		return fmt.Errorf("program exited with non-zero exit code: %d", exit.ExitCode())
	}
}

// environment gives this process's own, and the stack's configuration as the SDKs read it.
func environment(req *pulumirpc.RunRequest) []string {
	config, _ := json.Marshal(req.Config) // texts can't fail
	secrets, _ := json.Marshal(req.ConfigSecretKeys)
	return append(os.Environ(), pulumi.EnvConfig+"="+string(config), pulumi.EnvConfigSecretKeys+"="+string(secrets))
}

// option gives the text that Pulumi.yaml has for an option of the runtime.
func option(req *pulumirpc.RunRequest, name string) string {
	value, _ := req.Info.Options.AsMap()[name].(string)
	return value
}

// runNodejs starts the SDK's own module, which compiles TypeScript by itself.
func runNodejs(h *host, ctx context.Context, req *pulumirpc.RunRequest) error {
	module, err := findUpwards(req.Info.ProgramDirectory, "node_modules/@pulumi/pulumi/cmd/run")
	if err != nil {
		return fmt.Errorf("the Pulumi SDK isn't installed, run npm install: %w", err)
	}
	args := append(strings.Fields(option(req, "nodeargs")),
		module,
		"--monitor", req.MonitorAddress,
		"--engine", h.engine,
		"--organization", req.Organization,
		"--project", req.Project,
		"--root-directory", req.Info.RootDirectory,
		"--stack", req.Stack,
		"--pwd", req.Info.ProgramDirectory,
		"--parallel", strconv.Itoa(int(req.Parallel)),
	)
	if req.DryRun {
		args = append(args, "--dry-run")
	}
	cmd := exec.Command(h.tool, slices.Concat(args, []string{req.Info.EntryPoint}, req.Args)...)
	cmd.Env = environment(req)
	if compile, given := req.Info.Options.AsMap()["typescript"].(bool); compile || !given {
		cmd.Env = append(cmd.Env, "PULUMI_NODEJS_TYPESCRIPT=true")
	}
	if path := option(req, "tsconfig"); path != "" {
		cmd.Env = append(cmd.Env, "PULUMI_NODEJS_TSCONFIG_PATH="+path)
	}
	return h.runChild(ctx, cmd)
}

// findUpwards finds a path in a folder, or else in the nearest one above that has it.
func findUpwards(folder, path string) (string, error) {
	for {
		found := filepath.Join(folder, path)
		if _, err := os.Stat(found); err == nil {
			return found, nil
		}
		if filepath.Dir(folder) == folder {
			return "", fmt.Errorf("there is no %s", path)
		}
		folder = filepath.Dir(folder)
	}
}

// runGo builds the program, unless Pulumi.yaml names a binary, and tells it about the stack by its environment.
func runGo(h *host, ctx context.Context, req *pulumirpc.RunRequest) error {
	program := option(req, "binary")
	if program == "" {
		folder, err := os.MkdirTemp("", "pulumi-go-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		program = filepath.Join(folder, "program")
		build := exec.Command(h.tool, "build", "-o", program)
		build.Dir = req.Info.ProgramDirectory
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := h.children.run(ctx, build); err != nil {
			return fmt.Errorf("the program can't be built: %w", err)
		}
	}
	cmd := exec.Command(program, req.Args...)
	cmd.Dir = req.Pwd
	cmd.Env = append(environment(req),
		pulumi.EnvOrganization+"="+req.Organization,
		pulumi.EnvProject+"="+req.Project,
		pulumi.EnvPulumiRootDirectory+"="+req.Info.RootDirectory,
		pulumi.EnvStack+"="+req.Stack,
		pulumi.EnvDryRun+"="+strconv.FormatBool(req.DryRun),
		pulumi.EnvParallel+"="+strconv.Itoa(int(req.Parallel)),
		pulumi.EnvMonitor+"="+req.MonitorAddress,
		pulumi.EnvEngine+"="+h.engine,
	)
	return h.runChild(ctx, cmd)
}

// runYaml has Pulumi's own interpreter evaluate the program, in this process. The engine has the schemas for it.
func runYaml(h *host, ctx context.Context, req *pulumirpc.RunRequest) error {
	if err := os.Chdir(req.Info.ProgramDirectory); err != nil {
		return err
	}
	program, mistakes, err := pulumiyaml.LoadDir(req.Info.ProgramDirectory)
	if err != nil {
		return err
	}
	show := program.NewDiagnosticWriter(os.Stderr, 0, true).WriteDiagnostics
	if err := show(mistakes.HCL()); err != nil {
		return err
	}
	if mistakes.HasErrors() {
		return errToldTheUser
	}
	client, err := schema.NewLoaderClient(req.LoaderTarget)
	if err != nil {
		return err
	}
	defer client.Close()
	loader := pulumiyaml.NewPackageLoaderFromSchemaLoader(schema.NewCachedLoader(client))
	stack, err := pulumi.NewContext(ctx, pulumi.RunInfo{
		Project:          req.Project,
		RootDirectory:    req.Info.RootDirectory,
		Stack:            req.Stack,
		Config:           req.Config,
		ConfigSecretKeys: req.ConfigSecretKeys,
		Organization:     req.Organization,
		Parallel:         req.Parallel,
		DryRun:           req.DryRun,
		MonitorAddr:      req.MonitorAddress,
		EngineAddr:       h.engine,
	})
	if err != nil {
		return err
	}
	defer stack.Close()
	err = pulumi.RunWithContext(stack, func(stack *pulumi.Context) error {
		return pulumiyaml.RunTemplate(stack, program, typed(req), loader)
	})
	if mistakes, shown := pulumiyaml.HasDiagnostics(err); shown {
		if err := show(mistakes.Unshown().HCL()); err != nil || !mistakes.HasErrors() {
			return err
		}
		return errToldTheUser
	}
	return err
}

// typed reads the stack's configuration as YAML programs want it: numbers, booleans and structures as such.
func typed(req *pulumirpc.RunRequest) resource.PropertyMap {
	values := resource.PropertyMap{}
	for key, text := range req.Config {
		var read any
		if json.Unmarshal([]byte(text), &read) != nil {
			read = text
		}
		value := resource.NewPropertyValue(read)
		if slices.Contains(req.ConfigSecretKeys, key) {
			value = resource.MakeSecret(value)
		}
		values[resource.PropertyKey(key)] = value
	}
	return values
}
