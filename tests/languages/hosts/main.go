// Stand-ins for Pulumi's language hosts, for tests on a machine where only the engine itself can be had.
//
// The name by which the engine calls this program says which it is: pulumi-language-nodejs and pulumi-language-go run
// programs and generate SDKs, pulumi-language-yaml runs programs, pulumi-language-python generates SDKs. The engine
// starts it with its own address as the last argument, reads one line with a port from its standard output and talks
// the protocol LanguageRuntime to it. What is left out answers UNIMPLEMENTED, with which the engine copes.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	golanggen "github.com/pulumi/pulumi/pkg/v3/codegen/go"
	nodejsgen "github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	pythongen "github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	prefix       = "pulumi-language-"
	pollInterval = 250 * time.Millisecond
)

// A language is what differs between the hosts.
type language struct {
	tool       string // what runs its programs
	versioning []string
	install    []string
	// link says how a program comes to use an SDK that lies in a folder of its own.
	link func(sdk, relative string) ([]string, error)
	// generate makes the files of an SDK.
	generate func(*pulumirpc.GeneratePackageRequest, *schema.Package, schema.ReferenceLoader) (map[string][]byte, error)
	// dangling says whether a schema may name types of packages that can't be had.
	dangling bool
	// run runs a program to its end.
	run func(*host, context.Context, *pulumirpc.RunRequest) error
}

var languages = map[string]language{
	"nodejs": {
		tool:       "node",
		versioning: []string{"--version"},
		install:    []string{"npm", "install"},
		link: func(sdk, relative string) ([]string, error) {
			var made struct{ Name string }
			text, err := os.ReadFile(filepath.Join(sdk, "package.json"))
			if err == nil {
				err = json.Unmarshal(text, &made)
			}
			return []string{"npm", "pkg", "set", "dependencies." + made.Name + "=file:" + filepath.ToSlash(relative)}, err
		},
		dangling: true,
		generate: func(
			req *pulumirpc.GeneratePackageRequest, pkg *schema.Package, loader schema.ReferenceLoader,
		) (map[string][]byte, error) {
			return nodejsgen.GeneratePackage(
				prefix+"nodejs", pkg, req.ExtraFiles, req.LocalDependencies, req.Local, loader)
		},
		run: runNodejs,
	},
	"go": {
		tool:       "go",
		versioning: []string{"version"},
		install:    []string{"go", "mod", "tidy"},
		link: func(sdk, relative string) ([]string, error) {
			text, err := os.ReadFile(filepath.Join(sdk, "go.mod"))
			_, rest, _ := strings.Cut(string(text), "module ")
			module, _, _ := strings.Cut(rest, "\n")
			return []string{"go", "mod", "edit", "-replace=" + module + "=./" + filepath.ToSlash(relative)}, err
		},
		generate: func(
			req *pulumirpc.GeneratePackageRequest, pkg *schema.Package, _ schema.ReferenceLoader,
		) (map[string][]byte, error) {
			return golanggen.GeneratePackage(prefix+"go", pkg, req.LocalDependencies)
		},
		run: runGo,
	},
	"python": {
		tool:       "python3",
		versioning: []string{"--version"},
		dangling:   true,
		generate: func(
			req *pulumirpc.GeneratePackageRequest, pkg *schema.Package, loader schema.ReferenceLoader,
		) (map[string][]byte, error) {
			return pythongen.GeneratePackage(prefix+"python", pkg, req.ExtraFiles, loader)
		},
	},
	"yaml": {run: runYaml},
}

// host answers the engine.
type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	language
	engine   string
	children children
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version.Version}, nil
}

// GetRequiredPackages names none: tests have the plugins on PATH, where the engine finds them by itself.
func (h *host) GetRequiredPackages(
	context.Context, *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func (h *host) About(ctx context.Context, _ *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	path, err := exec.LookPath(h.tool)
	if err != nil {
		return nil, err
	}
	answer, err := exec.CommandContext(ctx, path, h.versioning...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s tells no version: %w", path, err)
	}
	return &pulumirpc.AboutResponse{Executable: path, Version: strings.TrimSpace(string(answer))}, nil
}

func (h *host) GeneratePackage(
	_ context.Context, req *pulumirpc.GeneratePackageRequest,
) (*pulumirpc.GeneratePackageResponse, error) {
	client, err := schema.NewLoaderClient(req.LoaderTarget)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	loader := schema.NewCachedLoader(client)
	var spec schema.PackageSpec
	if err := json.Unmarshal([]byte(req.Schema), &spec); err != nil {
		return nil, fmt.Errorf("the schema can't be read: %w", err)
	}
	pkg, found, err := schema.BindSpec(spec, loader, schema.ValidationOptions{AllowDanglingReferences: h.dangling})
	if err != nil {
		return nil, err
	}
	answer := &pulumirpc.GeneratePackageResponse{Diagnostics: plugin.HclDiagnosticsToRPCDiagnostics(found)}
	if found.HasErrors() {
		return answer, nil
	}
	files, err := h.generate(req, pkg, loader)
	if err != nil {
		return nil, err
	}
	for name, content := range files {
		path := filepath.Join(req.Directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// Link has a program use SDKs that `pulumi package add` has put into its folder.
func (h *host) Link(ctx context.Context, req *pulumirpc.LinkRequest) (*pulumirpc.LinkResponse, error) {
	if h.link == nil {
		return h.UnimplementedLanguageRuntimeServer.Link(ctx, req)
	}
	for _, sdk := range req.Packages {
		command, err := h.link(filepath.Join(req.Info.RootDirectory, sdk.Path), sdk.Path)
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir = req.Info.ProgramDirectory
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, said)
		}
	}
	return &pulumirpc.LinkResponse{}, nil
}

func (h *host) InstallDependencies(
	req *pulumirpc.InstallDependenciesRequest, stream pulumirpc.LanguageRuntime_InstallDependenciesServer,
) error {
	if h.install == nil {
		return h.UnimplementedLanguageRuntimeServer.InstallDependencies(req, stream)
	}
	closer, out, errs, err := rpcutil.MakeInstallDependenciesStreams(stream, req.IsTerminal)
	if err != nil {
		return err
	}
	defer closer.Close()
	cmd := exec.Command(h.install[0], h.install[1:]...)
	cmd.Dir = req.Info.ProgramDirectory
	cmd.Stdout, cmd.Stderr = out, errs
	if err := h.children.run(stream.Context(), cmd); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(h.install, " "), err)
	}
	return closer.Close()
}

// Cancel ends what runs. The engine interrupts the whole process group next.
func (h *host) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	h.children.stop()
	return &emptypb.Empty{}, nil
}

// serve answers until the engine interrupts this process or is gone, and then ends what still runs.
func (h *host) serve() error {
	defer h.children.close()
	parent := os.Getppid()
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(server, h)
			return nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port)
	for ticks := time.Tick(pollInterval); ; {
		select {
		case <-interrupts:
			return nil
		case err := <-handle.Done:
			return err
		case <-ticks:
			if os.Getppid() != parent {
				return nil
			}
		}
	}
}

func main() {
	name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"), prefix)
	spoken, known := languages[name]
	if len(os.Args) == 1 || !known {
		fmt.Fprintf(os.Stderr, "usage: %s{nodejs|go|python|yaml} [FLAG]... ENGINE_ADDRESS "+
			"(the Pulumi engine starts this program)\n", prefix)
		os.Exit(2)
	}
	h := &host{language: spoken, engine: os.Args[len(os.Args)-1]}
	if err := h.serve(); err != nil {
		fmt.Fprintf(os.Stderr, "%s%s: %v\n", prefix, name, err)
		os.Exit(1)
	}
}
