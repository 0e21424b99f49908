// Package devserver embeds a Temporal server and its UI in the calling process, on one SQLite file.
//
// It is what makes "nothing to set up" true: a laptop run has the same durable workflows as a cluster. It listens on the
// loopback interface only and asks for no credentials, so it is not a server for a network.
//
// Only the binaries and the end-to-end tests may import it: it links all of Temporal.
package devserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"

	"github.com/varve-lake/varve/internal/durable"
)

// Namespace is the namespace that the embedded server has.
const Namespace = "default"

const (
	loopback    = "127.0.0.1"
	clusterName = "active"
	store       = "sqlite"
)

// Options say where the server keeps its state and which ports it listens on.
type Options struct {
	Dir    string // folder of temporal.db, dev.json and the lock; made when absent
	Port   int    // gRPC; 0: 7233 when it is free, else any
	UIPort int    // HTTP; 0: 8233 when it is free, else any; -1: no UI
	Logger *slog.Logger
	// Codec makes a codec server for pages of the origins, by which the UI shows encrypted payloads; nil for none.
	Codec func(origins []string) http.Handler
}

// Server is a running embedded server. It holds the folder's lock until Stop.
type Server struct {
	server temporal.Server
	ui     *uiserver.Server
	codec  *http.Server
	lock   *os.File
	dir    string
	info   Info
}

// ErrRunning says that another process runs the embedded server of this folder.
var ErrRunning = errors.New("another process runs the embedded Temporal server of this folder")

// Start starts the server and, unless turned off, the UI, and returns once workflows can be started.
// A second Start on the same folder, in this process or another, returns ErrRunning.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := durable.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("embedded Temporal: %w", err)
	}
	lock, err := acquireLock(filepath.Join(o.Dir, "temporal.lock"))
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock, dir: o.Dir}
	if err := s.start(ctx, o); err != nil {
		s.Stop()
		return nil, fmt.Errorf("embedded Temporal in %s: %w", o.Dir, err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, o Options) error {
	db := filepath.Join(o.Dir, "temporal.db")
	if err := prepareDatabase(db); err != nil {
		return err
	}
	if err := s.listen(ctx, o, db); err != nil {
		return err
	}
	if err := awaitReady(ctx, s.info.Address); err != nil {
		return err
	}
	return writeInfo(o.Dir, s.info)
}

// listen starts the server and its UI on ports of their own. Between choosing a port and listening on it another server could
// take it, and a UI that finds its port taken ends the process; so the ports stay claimed until then.
func (s *Server) listen(ctx context.Context, o Options, db string) error {
	ports, release, err := choosePorts(o)
	if err != nil {
		return err
	}
	defer release()
	cfg := serverConfig(db, ports)
	logger := slogLogger{o.Logger}
	authorizer, err := authorization.GetAuthorizerFromConfig(&cfg.Global.Authorization)
	if err != nil {
		return err
	}
	claims, err := authorization.GetClaimMapperFromConfig(&cfg.Global.Authorization, logger)
	if err != nil {
		return err
	}
	s.server, err = temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(staticHosts(ports)),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	)
	if err != nil {
		return err
	}
	if err := s.server.Start(); err != nil {
		return err
	}
	s.info = Info{Address: fmt.Sprintf("%s:%d", loopback, ports.frontend), PID: os.Getpid()}
	if ports.ui > 0 {
		if err := s.startUI(ports, o); err != nil {
			return err
		}
		s.info.UI = fmt.Sprintf("http://%s:%d", loopback, ports.ui)
	}
	for _, port := range ports.each() {
		if err := awaitPort(ctx, port); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) startUI(p ports, o Options) error {
	codec, err := s.startCodec(p, o)
	if err != nil {
		return err
	}
	s.ui = uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                loopback,
		Port:                p.ui,
		TemporalGRPCAddress: fmt.Sprintf("%s:%d", loopback, p.frontend),
		DefaultNamespace:    Namespace,
		EnableUI:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP on loopback
		HideLogs:            true,
		DisableNewsFetch:    true,
		Codec:               uiconfig.Codec{Endpoint: codec},
	}))
	ui := s.ui
	go func() {
		if err := ui.Start(); err != nil {
			o.Logger.Error("the Temporal UI stopped", "error", err)
		}
	}()
	return nil
}

// startCodec serves the codec on a free port and returns its address, "" if there is no codec.
func (s *Server) startCodec(p ports, o Options) (string, error) {
	if o.Codec == nil {
		return "", nil
	}
	listener, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return "", fmt.Errorf("codec server: %w", err)
	}
	handler := o.Codec([]string{fmt.Sprintf("http://%s:%d", loopback, p.ui), fmt.Sprintf("http://localhost:%d", p.ui)})
	s.codec = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.codec.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("the codec server stopped", "error", err)
		}
	}()
	return "http://" + listener.Addr().String(), nil
}

// Info says where the server listens.
func (s *Server) Info() Info { return s.info }

// Stop ends the UI and the server and gives the folder free. It may be called on a server that started half.
func (s *Server) Stop() {
	if s.info.Address != "" {
		_ = os.Remove(filepath.Join(s.dir, infoFile))
	}
	if s.ui != nil {
		s.ui.Stop()
	}
	if s.codec != nil {
		_ = s.codec.Close()
	}
	if s.server != nil {
		_ = s.server.Stop()
	}
	_ = s.lock.Close()
}

// prepareDatabase creates the schema once. A marker is written when the schema is whole: a kill in between leaves a
// database without its marker, which the next start makes anew. Creating the namespace is idempotent.
func prepareDatabase(db string) error {
	ready := db + ".ready"
	if _, err := os.Stat(ready); errors.Is(err, os.ErrNotExist) {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if err := os.Remove(db + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := sqliteschema.SetupSchema(sqlConfig(db)); err != nil {
			return fmt.Errorf("set up %s: %w", db, err)
		}
		if err := os.WriteFile(ready, nil, 0o644); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	ns, err := sqliteschema.NewNamespaceConfig(clusterName, Namespace, false, nil)
	if err != nil {
		return err
	}
	if err := sqliteschema.CreateNamespaces(sqlConfig(db), ns); err != nil {
		return fmt.Errorf("create namespace %s in %s: %w", Namespace, db, err)
	}
	return nil
}

func sqlConfig(db string) *config.SQL {
	return &config.SQL{
		PluginName:   sqlite.PluginName,
		DatabaseName: db,
		// WAL survives kill -9 of this process; NORMAL survives it too and loses nothing but to a power cut, after which
		// Temporal's own recovery re-runs what had not reached the disk, and commits are found by their tokens.
		ConnectAttributes: map[string]string{"mode": "rwc", "journal_mode": "wal", "synchronous": "1", "busy_timeout": "10000"},
	}
}

func serverConfig(db string, p ports) *config.Config {
	service := func(port, http int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, HTTPPort: http, BindOnIP: loopback}}
	}
	address := fmt.Sprintf("%s:%d", loopback, p.frontend)
	cfg := &config.Config{
		Persistence: config.Persistence{
			DefaultStore: store, VisibilityStore: store, NumHistoryShards: 1,
			DataStores: map[string]config.DataStore{store: {SQL: sqlConfig(db)}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10, MasterClusterName: clusterName, CurrentClusterName: clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
				Enabled: true, InitialFailoverVersion: 1, RPCAddress: address, ClusterID: clusterID(db),
			}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			"frontend": service(p.frontend, p.http),
			"history":  service(p.history, 0),
			"matching": service(p.matching, 0),
			"worker":   service(p.worker, 0),
		},
		PublicClient: config.PublicClient{HostPort: address},
	}
	cfg.Global.Membership.MaxJoinDuration = 30 * time.Second
	cfg.Global.Membership.BroadcastAddress = loopback
	cfg.Archival.History.State = "disabled"
	cfg.Archival.Visibility.State = "disabled"
	cfg.NamespaceDefaults.Archival.History.State = "disabled"
	cfg.NamespaceDefaults.Archival.Visibility.State = "disabled"
	return cfg
}

func staticHosts(p ports) map[primitives.ServiceName]static.Hosts {
	host := func(port int) static.Hosts { return static.SingleLocalHost(fmt.Sprintf("%s:%d", loopback, port)) }
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: host(p.frontend),
		primitives.HistoryService:  host(p.history),
		primitives.MatchingService: host(p.matching),
		primitives.WorkerService:   host(p.worker),
	}
}

// dynamicConfig makes new search attributes visible at once, and lifts the limits that this makes too low.
func dynamicConfig() dynamicconfig.Client {
	return dynamicconfig.StaticClient{
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key():      true,
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key():                 8096,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                    10000,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                     45000,
	}
}
