package spec

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Project is a decoded varve.yaml: what the lake stands on. A pipeline never mentions it.
type Project struct {
	Environments []Environment // in the file's order; "local" is always there
	Secrets      []string      // the environment variables that hold secrets, of all environments
	Pos          Pos

	later map[string]Diagnostics // by environment: what it needs that is not yet supported
}

// Environment is one set of catalog, store, Temporal and limits. Its zero value is the local one, under .varve/.
type Environment struct {
	Name     Text
	Catalog  Catalog
	Store    Store
	Temporal Temporal
	Trino    *Trino
	Limits   Limits
	Pos      Pos
}

// Catalog is an Iceberg catalog. The zero value is the local SQLite catalog.
type Catalog struct {
	Type       string // sql | rest | glue; "" is the local one
	Name       string // sql: the catalog's name in the JDBC tables; varve by default
	URI        string // sql: sqlite:///absolute/path or sqlite:relative/path, or postgresql://...; rest, glue: https://...
	Warehouse  string // sql, glue: the folder or URI under which tables lie; rest: the warehouse's name
	Branch     string // rest, on Nessie: the branch; "" is its default
	Staging    string // rest: the folder for what belongs to no one table; "" is the server's word
	Credential Secret // rest: client credentials or token; PostgreSQL: the password; glue: an access key as id:secret
	Properties map[string]string
	Pos        Pos
}

// Store is where files lie. At most one of S3, GCS and HDFS is set; none is the local file system.
type Store struct {
	S3   *S3
	GCS  *GCS
	HDFS *HDFS
	Pos  Pos
}

// S3 is a store of Amazon's protocol.
type S3 struct {
	Region, Endpoint     string
	PathStyle            bool
	AccessKey, SecretKey Secret // none: the AWS default chain
}

// GCS is Google Cloud Storage.
type GCS struct {
	Project, Endpoint string
	Credential        Secret
}

// HDFS is Hadoop's file system.
type HDFS struct {
	NameNode, User string
}

// Temporal is the address of a Temporal server. An empty Address is the embedded one.
type Temporal struct {
	Address, Namespace, TaskQueue string
	TLS                           *TLS
	APIKey                        Secret
	Encryption                    *Encryption // of payloads; nil for none
	Pos                           Pos
}

// Encryption is how payloads are encrypted before they reach the Temporal server.
type Encryption struct {
	Key  string          // the id of the key that encrypts
	Keys []EncryptionKey // those that decrypt, Key among them
}

// EncryptionKey is a key of 32 bytes, in base64 or hex, by reference.
type EncryptionKey struct {
	ID  Text
	Key Secret
}

// TLS is the client's side of a connection.
type TLS struct {
	Cert, Key, CA Secret
	ServerName    string
}

// Trino is a Trino cluster for `engine: trino`.
type Trino struct {
	URI, Catalog, Schema, User string
	Password                   Secret
	Pos                        Pos
}

// Limits bound a worker. Zero is the worker's own choice.
type Limits struct {
	Memory      int64 // bytes
	Parallelism int
	FanOut      int64 // bytes
	// Patience is how long a catalog or store may be silent in the midst of a request before that is given up.
	Patience time.Duration
}

// Secret names where a secret is, never the secret itself: an environment variable or a file.
type Secret struct {
	Env  string `json:"env,omitempty"`
	File string `json:"file,omitempty"`
}

// IsZero reports that no secret is named.
func (s Secret) IsZero() bool { return s == Secret{} }

// String names the reference, for errors and logs.
func (s Secret) String() string {
	switch {
	case s.Env != "":
		return "environment variable " + s.Env
	case s.File != "":
		return "file " + s.File
	}
	return "no secret"
}

// Resolve reads the secret. Errors name the reference only. A file's trailing line break is not part of the secret.
func (s Secret) Resolve() (string, error) {
	switch {
	case s.Env != "":
		value, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("environment variable %s, which should hold a secret, is not set", s.Env)
		}
		return value, nil
	case s.File != "":
		data, err := os.ReadFile(s.File)
		if err != nil {
			return "", fmt.Errorf("read a secret: %w", err)
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	return "", errNoSecret
}

var errNoSecret = errors.New("the secret names neither an environment variable nor a file")

// Environment is the environment of that name; "" is "local". Diagnostics say if there is none, or what it needs that is
// not yet supported; then they hold an Error.
func (p *Project) Environment(name string) (Environment, Diagnostics) {
	if name == "" {
		name = "local"
	}
	known := make([]string, len(p.Environments))
	for i, e := range p.Environments {
		if e.Name.Value == name {
			return e, p.later[name]
		}
		known[i] = e.Name.Value
	}
	d := Diagnostic{Pos: p.Pos, Message: fmt.Sprintf("no environment %q: the project has %s", name, strings.Join(known, ", "))}
	if near := Nearest(name, known); near != "" {
		d.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return Environment{}, Diagnostics{d}
}
