// Command trigger is Varve's command line: it runs, plans, validates and schedules pipelines, and looks into the lake.
//
// Results go to standard output, everything else to standard error. Exit codes are in exit.go.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/environment"
)

// version is set by the linker for a release.
var version = "dev"

// global holds the flags that every command has.
type global struct {
	env  environment.Options
	conn environment.Connection
	json bool
	// branch is the catalog's that a command looks at, or builds on; "" is the configured one.
	branch string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	if err != nil && !isSilent(err) {
		fmt.Fprintln(os.Stderr, describe(err))
	}
	os.Exit(exitCode(ctx, err))
}

func newRoot() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "trigger",
		Short: "Run and look after Varve's pipelines and tables",
		Long: "Varve builds Apache Iceberg tables from pipelines declared in YAML, as durable Temporal workflows.\n" +
			"Without configuration it embeds a Temporal server and keeps everything under .varve/.",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := root.PersistentFlags()
	f.StringVarP(&g.env.Root, "directory", "C", "", "the project's folder (default: the working directory)")
	f.StringVar(&g.env.Name, "env", "", "environment of varve.yaml (default: $VARVE_ENVIRONMENT, then local)")
	f.StringVar(&g.env.Pipelines, "pipelines", "", "folder of pipelines (default: $VARVE_PIPELINES, then pipelines)")
	f.StringVar(&g.conn.Address, "address", "", "Temporal server, host:port (default: varve.yaml, $TEMPORAL_ADDRESS, temporal.toml; else one is embedded)")
	f.StringVar(&g.conn.Namespace, "namespace", "", "Temporal namespace")
	f.StringVar(&g.conn.Profile, "profile", "", "profile of Temporal's configuration file")
	f.StringVar(&g.conn.TLSCert, "tls-cert", "", "client certificate, a PEM file")
	f.StringVar(&g.conn.TLSKey, "tls-key", "", "client key, a PEM file")
	f.StringVar(&g.conn.TLSCA, "tls-ca", "", "certificate authorities of the server, a PEM file")
	f.StringVar(&g.env.Memory, "memory", "", "memory that an embedded worker and queries keep to, such as 512MB (default: varve.yaml, then half of the machine's)")
	f.IntVar(&g.env.Parallelism, "parallelism", 0, "pieces of work at one time (default: varve.yaml, then the machine's cores)")
	f.BoolVar(&g.json, "json", false, "print results as JSON")
	root.AddCommand(
		newRun(g), newResume(g), newPlan(g), newValidate(g), newTest(g), newApply(g), newStatus(g), newCancel(g), newTable(g), newBranch(g), newQuery(g), newCodecServer(g),
		newExitCodes(),
	)
	return root
}
