package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/internal/payloads"
)

func newCodecServer(g *global) *cobra.Command {
	var listen string
	var origins []string
	c := &cobra.Command{
		Use:   "codec-server",
		Short: "Let the Temporal UI show payloads that are encrypted",
		Long: "codec-server decrypts payloads with the keys of temporal.encryption in varve.yaml for the Temporal UI and the temporal\n" +
			"command, to which its address is given as codec endpoint. It asks for no credentials: whoever reaches it reads what is\n" +
			"encrypted. So it listens on the loopback interface unless told otherwise; elsewhere it belongs behind a proxy that\n" +
			"knows its users.",
		Example: "  trigger codec-server --origin http://127.0.0.1:8233\n  temporal workflow show --workflow-id ID --codec-endpoint http://127.0.0.1:8234",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return serveCodec(c, g, listen, origins) },
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8234", "address to listen at")
	c.Flags().StringArrayVar(&origins, "origin", []string{"http://127.0.0.1:8233", "http://localhost:8233"}, "origin of a UI whose pages may ask; may be given again")
	return c
}

func serveCodec(c *cobra.Command, g *global, listen string, origins []string) error {
	env, err := environment.Load(g.env)
	if err != nil {
		return err
	}
	codec, err := env.Codec()
	if err != nil {
		return err
	}
	if codec == nil {
		return codedError{fmt.Errorf("environment %s: payloads are not encrypted: varve.yaml names no temporal.encryption", env.Name), exitMistake}
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: payloads.Handler(codec, origins), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(c.Context(), func() { _ = server.Close() })
	defer stop()
	fmt.Fprintf(c.OutOrStdout(), "codec endpoint: http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
