package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
)

// TestLakeOverTLS runs the example pipeline on a Temporal server that takes a client certificate and an API key, as Temporal Cloud
// does, and looks for both secrets in all that anybody could read. Who comes with another key is turned away.
func TestLakeOverTLS(t *testing.T) {
	const key, wrong = "planted-api-key-of-temporal", "planted-wrong-api-key"
	elsewhere := lab.Empty(t, lab.Build(t))
	server := elsewhere.StartWorker()
	made := newAuthority(t)
	address, turnedAway := temporalBehindTLS(t, server.Address(), made, key)

	l := lab.New(t, elsewhere.Bin)
	l.Write("tls/ca.pem", made.pem())
	certificate, privateKey := made.issue(t, "lake")
	l.Write("tls/cert.pem", certificate)
	l.Write("tls/key.pem", privateKey)
	of := func(queue, tls string) string {
		return fmt.Sprintf("{address: %q, task_queue: %s, api_key: {env: VARVE_TEST_API_KEY}, tls: %s}", address, queue, tls)
	}
	const full = "{cert: {file: tls/cert.pem}, key: {file: tls/key.pem}, ca: {file: tls/ca.pem}}"
	l.Write("varve.yaml", fmt.Appendf(nil, "environments:\n  prod:\n    temporal: %s\n  stranger:\n    temporal: %s\n", of("lake", full), of("lake", "{ca: {file: tls/ca.pem}}")))
	l.Env = []string{"VARVE_ENVIRONMENT=prod", "VARVE_TEST_API_KEY=" + key}
	reference.Deliver(t, l, "landing", laterDeliveries(t, l)[:3]...)

	w := l.JoinWorker(server, "--address", address, "--metrics", "127.0.0.1:0", "--log-level", "debug")
	said := told{t: t, l: l}
	said.well("run", "flights", "--id", "over-tls", "-p", "landing="+l.Path("landing"))
	reference.Check(t, l, "landing")
	said.well("status", "over-tls", "--json")
	require.Zero(t, turnedAway.Load())
	l.Env[1] = "VARVE_TEST_API_KEY=" + wrong
	said.badly("status", "over-tls")
	require.Positive(t, turnedAway.Load(), "a wrong API key is turned away")
	require.Contains(t, said.String(), "Request unauthorized.")
	l.Env[1] = "VARVE_TEST_API_KEY=" + key
	said.badly("status", "over-tls", "--env", "stranger") // without a certificate
	metrics := metricsOf(t, w)
	w.Terminate()

	lines := strings.Split(string(privateKey), "\n")
	for _, secret := range []string{key, wrong, lines[1], lines[2]} {
		for name, text := range map[string]string{"commands": said.String(), "logs": w.Log() + server.Log(), "metrics": metrics} {
			require.NotContains(t, text, secret, name)
		}
		for _, kept := range []string{l.Path(".varve"), elsewhere.Path(".varve")} {
			require.Empty(t, holding(t, kept, secret))
		}
	}
	require.NotEmpty(t, holding(t, elsewhere.Path(".varve"), "over-tls"), "what a history says can be found there")
}

// temporalBehindTLS stands before a Temporal server, as its cloud's gateway does: it takes client certificates of the authority, and
// requests with an API key, and counts those with another.
func temporalBehindTLS(t *testing.T, server string, made *authority, key string) (address string, turnedAway *atomic.Int64) {
	t.Helper()
	turnedAway = &atomic.Int64{}
	plain := &http.Transport{Protocols: new(http.Protocols)}
	plain.Protocols.SetUnencryptedHTTP2(true)
	forward := &httputil.ReverseProxy{Transport: plain, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: server})
		r.Out.Header.Set("Te", "trailers") // which gRPC asks for, and proxies take away
	}}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			turnedAway.Add(1)
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "7") // PERMISSION_DENIED
			w.Header().Set("Grpc-Message", "Request unauthorized.")
			return
		}
		forward.ServeHTTP(w, r)
	}))
	certificate, privateKey := made.issue(t, "temporal")
	pair, err := tls.X509KeyPair(certificate, privateKey)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(made.certificate)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
	s.EnableHTTP2, s.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.CloseClientConnections) // long polls end with it
	return s.Listener.Addr().String(), turnedAway
}

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.certificate, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue makes a certificate, for a server on loopback or a client, and its key, as PEM.
func (a *authority) issue(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.certificate, &own.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}
