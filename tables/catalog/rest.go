package catalog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/apache/iceberg-go"
	icebergrest "github.com/apache/iceberg-go/catalog/rest"

	"github.com/varve-lake/varve/tables/fault"
)

// openREST opens a catalog of Iceberg's REST protocol. A server that says that it is Nessie is spoken to as Nessie needs.
func openREST(ctx context.Context, cfg Config) (*Catalog, error) {
	at, err := url.Parse(cfg.URI)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, fmt.Errorf("open catalog: a rest catalog has a uri of http:// or https://, found %q", redacted(cfg.URI))
	}
	op := "open catalog " + redacted(cfg.URI)
	wire := newTransport(at, cfg.Patience)
	opts := []icebergrest.Option{
		icebergrest.WithCustomTransport(wire),
		icebergrest.WithAdditionalProps(cfg.stores.WithProps(withoutConfigured(cfg.Props))),
	}
	if cfg.Warehouse != "" {
		opts = append(opts, icebergrest.WithWarehouseLocation(cfg.Warehouse))
	}
	if prefix := cfg.Props["prefix"]; prefix != "" {
		opts = append(opts, icebergrest.WithPrefix(prefix))
	}
	auth, err := cfg.authManager(at, wire)
	if err != nil {
		return nil, fault.New(fault.ErrDenied, op, err)
	}
	if auth != nil {
		opts = append(opts, icebergrest.WithAuthManager(auth))
	}
	inner, err := icebergrest.NewCatalog(ctx, cfg.Name, cfg.URI, opts...)
	if err != nil {
		wire.close()
		return nil, classifyREST(op, err, false)
	}
	c := &Catalog{
		inner: &server{inner}, stores: cfg.stores, warehouse: cfg.stagingRoot(wire.server()), classify: classifyREST,
		close: func() error { defer wire.close(); return inner.Close() },
	}
	if wire.server()["nessie.is-nessie-catalog"] == "true" {
		c.nessie = true
		c.inner = &nessie{inner}
		c.api = newNessieAPI(at, wire, auth)
	}
	if err := wire.begin(cfg.Branch, c.nessie); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", op, err), c.close())
	}
	return c, nil
}

// withoutConfigured drops properties that this package carries out itself, or that would make the library try again what
// only the commit protocol may.
func withoutConfigured(props map[string]string) iceberg.Properties {
	out := iceberg.Properties{}
	for k, v := range props {
		switch k {
		case "prefix", "oauth2-server-uri", "scope", "audience", "resource":
		default:
			out[k] = v
		}
	}
	return out
}

// stagingRoot is the folder in which what belongs to no one table is staged: the configured one, or where the server says
// that its warehouse lies.
func (cfg Config) stagingRoot(server map[string]string) string {
	for _, at := range []string{cfg.Staging, server["default-base-location"], server["warehouse"], cfg.Warehouse} {
		if strings.Contains(at, "://") {
			return strings.TrimRight(at, "/")
		}
	}
	return ""
}

// classifyREST classes by what the transport saw, then by the library's own types, which are made from the status.
func classifyREST(op string, err error, changing bool) error {
	lost := fault.ErrPassing
	if changing {
		lost = fault.ErrUnknownOutcome
	}
	var broken *transportError
	var class error
	switch {
	case errors.As(err, &broken) && broken.sent:
		class = lost
	case errors.As(err, &broken):
		class = fault.ErrPassing
	case errors.Is(err, icebergrest.ErrUnauthorized), errors.Is(err, icebergrest.ErrForbidden),
		errors.Is(err, icebergrest.ErrAuthorizationExpired):
		class = fault.ErrDenied
	case errors.Is(err, icebergrest.ErrCommitStateUnknown), errors.Is(err, icebergrest.ErrServerError),
		errors.Is(err, icebergrest.ErrServiceUnavailable):
		class = lost
	default:
		return classifyShared(op, err)
	}
	return fault.New(class, op, err)
}
