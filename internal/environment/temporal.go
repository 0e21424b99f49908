package environment

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/payloads"
	"github.com/varve-lake/varve/spec"
)

// Connection says how to reach a Temporal server. What it leaves empty comes from the environment in varve.yaml, and then
// from Temporal's own conventions: the TEMPORAL_* variables and the profile of temporal.toml.
type Connection struct {
	Address   string
	Namespace string
	APIKey    string
	TLSCert   string // file
	TLSKey    string // file
	TLSCA     string // file
	Profile   string // of temporal.toml
	Logger    *slog.Logger
	Metrics   client.MetricsHandler
}

// Configured tells whether any of the three sources names a server; if not, the binaries embed one.
func (e Environment) Configured(c Connection) (bool, error) {
	if c.Address != "" || e.Temporal.Address != "" || os.Getenv("TEMPORAL_ADDRESS") != "" {
		return true, nil
	}
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{ConfigFileProfile: c.Profile})
	if err != nil {
		return false, fmt.Errorf("temporal configuration: %w", err)
	}
	return profile.Address != "", nil
}

// Dial connects to the server, and says within seconds when it does not answer.
func (e Environment) Dial(ctx context.Context, c Connection) (client.Client, error) {
	o, err := e.clientOptions(c)
	if err != nil {
		return nil, fmt.Errorf("temporal: %w", err)
	}
	conn, err := client.DialContext(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("temporal at %s, namespace %s: %w", o.HostPort, first(o.Namespace, "default"), err)
	}
	return conn, nil
}

// Namespace is the namespace that Dial connects to.
func (e Environment) Namespace(c Connection) (string, error) {
	o, err := e.clientOptions(c)
	return first(o.Namespace, client.DefaultNamespace), err
}

func (e Environment) clientOptions(c Connection) (client.Options, error) {
	o, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{ConfigFileProfile: c.Profile})
	if err != nil {
		return o, err
	}
	o.HostPort = first(c.Address, e.Temporal.Address, o.HostPort)
	o.Namespace = first(c.Namespace, e.Temporal.Namespace, o.Namespace)
	o.MetricsHandler = c.Metrics
	logger := c.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = sdklog.NewStructuredLogger(logger)
	if err := e.credentials(c, &o); err != nil {
		return o, err
	}
	codec, err := e.Codec()
	if err != nil {
		return o, err
	}
	o.DataConverter, o.FailureConverter = payloads.Converters(codec)
	o.ContextPropagators = append(o.ContextPropagators, wire.BranchPropagator{})
	return o, nil
}

// Codec encrypts payloads as the environment says; nil if it says nothing of that. The keys are read here.
func (e Environment) Codec() (*payloads.Codec, error) {
	from := e.Temporal.Encryption
	if from == nil {
		return nil, nil
	}
	keys := map[string][]byte{}
	for _, k := range from.Keys {
		text, err := k.Key.Resolve()
		if err != nil {
			return nil, fmt.Errorf("encryption key %q: %w", k.ID.Value, err)
		}
		if keys[k.ID.Value], err = payloads.ParseKey(text); err != nil {
			return nil, fmt.Errorf("encryption key %q in %s: %w", k.ID.Value, k.Key, err)
		}
	}
	return payloads.NewCodec(from.Key, keys)
}

func (e Environment) credentials(c Connection, o *client.Options) error {
	key := c.APIKey
	if key == "" && !e.Temporal.APIKey.IsZero() {
		var err error
		if key, err = e.Temporal.APIKey.Resolve(); err != nil {
			return err
		}
	}
	if key != "" {
		o.Credentials = client.NewAPIKeyStaticCredentials(key)
		if o.ConnectionOptions.TLS == nil {
			o.ConnectionOptions.TLS = &tls.Config{MinVersion: tls.VersionTLS12} // an API key never travels in the clear
		}
	}
	t, err := e.tlsConfig(c)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	if t != nil {
		o.ConnectionOptions.TLS = t
	}
	return nil
}

// tlsConfig is nil when neither the flags nor varve.yaml speak of TLS.
func (e Environment) tlsConfig(c Connection) (*tls.Config, error) {
	cert, key, ca := spec.Secret{File: c.TLSCert}, spec.Secret{File: c.TLSKey}, spec.Secret{File: c.TLSCA}
	server := ""
	if t := e.Temporal.TLS; t != nil {
		server = t.ServerName
		cert, key, ca = firstSecret(cert, t.Cert), firstSecret(key, t.Key), firstSecret(ca, t.CA)
	}
	if cert.IsZero() && key.IsZero() && ca.IsZero() && e.Temporal.TLS == nil {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
	if cert.IsZero() != key.IsZero() {
		return nil, errors.New("a client certificate needs both cert and key")
	}
	if !cert.IsZero() {
		certPEM, err := cert.Resolve()
		if err != nil {
			return nil, err
		}
		keyPEM, err := key.Resolve()
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
		if err != nil {
			return nil, err
		}
		out.Certificates = []tls.Certificate{pair}
	}
	if !ca.IsZero() {
		pem, err := ca.Resolve()
		if err != nil {
			return nil, err
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			return nil, fmt.Errorf("no certificate in %s", ca)
		}
	}
	return out, nil
}

func firstSecret(a, b spec.Secret) spec.Secret {
	if !a.IsZero() {
		return a
	}
	return b
}
