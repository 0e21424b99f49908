package environment_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/store"
)

func project(t *testing.T, yaml string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "varve.yaml"), []byte(yaml), 0o644))
	t.Setenv("VARVE_ENVIRONMENT", "")
	t.Setenv("VARVE_PIPELINES", "")
	t.Chdir(t.TempDir()) // a command may be called from anywhere
	return root
}

func TestPathsBeginAtTheProjectsFolder(t *testing.T) {
	root := project(t, `
environments:
  relative:
    catalog: {type: sql, uri: "sqlite:lake/catalog.db", warehouse: lake/warehouse}
  absolute:
    catalog: {type: sql, uri: "sqlite:////srv/catalog.db", warehouse: "file:///srv/warehouse"}
  database:
    catalog: {type: sql, uri: "postgresql://db.example:5432/lake?user=me", warehouse: "s3://lake/tables"}
  server:
    temporal: {address: "localhost:7233", tls: {cert: {file: tls/cert.pem}, key: {file: /etc/key.pem}}}
`)
	for _, c := range []struct{ name, uri, warehouse string }{
		{"local", "sqlite:///" + root + "/.varve/catalog.db", "file://" + root + "/.varve/warehouse"},
		{"relative", "sqlite:" + root + "/lake/catalog.db", root + "/lake/warehouse"},
		{"database", "postgresql://db.example:5432/lake?user=me", "s3://lake/tables"},
		{"absolute", "sqlite:////srv/catalog.db", "file:///srv/warehouse"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := environment.Load(environment.Options{Root: root, Name: c.name})
			require.NoError(t, err)
			require.Equal(t, c.uri, e.Lake.Catalog.URI)
			require.Equal(t, c.warehouse, e.Lake.Catalog.Warehouse)
			require.Equal(t, filepath.Join(root, "pipelines"), e.Pipelines)
		})
	}
	e, err := environment.Load(environment.Options{Root: root, Name: "server"})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "tls", "cert.pem"), e.Temporal.TLS.Cert.File)
	require.Equal(t, "/etc/key.pem", e.Temporal.TLS.Key.File)
}

func TestARelativeLakeOpensWhereTheProjectIs(t *testing.T) {
	root := project(t, `
environments:
  local:
    catalog: {type: sql, uri: "sqlite:lake/catalog.db", warehouse: lake/warehouse}
`)
	e, err := environment.Load(environment.Options{Root: root})
	require.NoError(t, err)
	lake, err := e.OpenLake(t.Context())
	require.NoError(t, err)
	require.NoError(t, lake.Close())
	require.FileExists(t, filepath.Join(root, "lake", "catalog.db"))
}

func TestMistakesNameTheProjectFile(t *testing.T) {
	root := project(t, "environments: {prod: {catlog: {}}}\n")
	_, err := environment.Load(environment.Options{Root: root})
	require.ErrorContains(t, err, filepath.Join(root, "varve.yaml")+":1:23: error: unknown key \"catlog\"")
}

func TestSecretsAreReadWhenTheLakeIsOpened(t *testing.T) {
	root := project(t, `
environments:
  prod:
    catalog: {type: rest, uri: "http://127.0.0.1:1/iceberg", warehouse: lake, branch: work, credential: {env: VARVE_TEST_TOKEN}}
    store: {s3: {region: eu-west-1, endpoint: "http://127.0.0.1:1", path_style: true, access_key: {env: VARVE_TEST_KEY}, secret_key: {file: secret}}}
`)
	e, err := environment.Load(environment.Options{Root: root, Name: "prod"})
	require.NoError(t, err, "nothing is read before it is needed")
	require.Equal(t, "work", e.Lake.Catalog.Branch)
	require.Empty(t, e.Lake.Catalog.Credential)
	require.Equal(t, store.Config{S3: store.S3{Region: "eu-west-1", Endpoint: "http://127.0.0.1:1", PathStyle: true}}, *e.Lake.Catalog.Store)

	_, err = e.OpenLake(t.Context())
	require.ErrorIs(t, err, tables.ErrDenied)
	require.ErrorContains(t, err, "environment prod: open catalog: denied: ")

	t.Setenv("VARVE_TEST_TOKEN", "hunter2")
	t.Setenv("VARVE_TEST_KEY", "hunter3")
	require.NoError(t, os.WriteFile(filepath.Join(root, "secret"), []byte("hunter4\n"), 0o600))
	opened := e.Lake.Catalog
	require.NoError(t, opened.Secrets(&opened))
	require.Equal(t, "hunter2", opened.Credential)
	require.Equal(t, "hunter3", opened.Store.S3.AccessKey)
	require.Equal(t, "hunter4", opened.Store.S3.SecretKey)

	_, err = e.OpenLake(t.Context())
	require.ErrorIs(t, err, tables.ErrPassing, "nothing listens there")
	for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %#v", opened, opened, opened), fmt.Sprintf("%v %+v %#v", e.Lake, e.Lake, e.Lake)} {
		require.NotContains(t, text, "hunter")
	}
}

func TestStores(t *testing.T) {
	root := project(t, `
environments:
  google:
    store: {gcs: {project: p, endpoint: "http://127.0.0.1:1", credential: {env: VARVE_TEST_KEY}}}
    limits: {patience: 20s}
  hadoop:
    catalog: {type: sql, uri: "postgresql://db.example/lake?user=me", warehouse: "hdfs:///lake"}
    store: {hdfs: {namenode: "namenode.example:8020", user: me}}
`)
	google, err := environment.Load(environment.Options{Root: root, Name: "google"})
	require.NoError(t, err)
	t.Setenv("VARVE_TEST_KEY", "hunter2")
	opened := google.Lake.Catalog
	require.NoError(t, opened.Secrets(&opened))
	require.Equal(t, store.Config{
		GCS: store.GCS{Project: "p", Endpoint: "http://127.0.0.1:1", Key: "hunter2"}, Patience: 20 * time.Second,
	}, *opened.Store)
	require.Equal(t, 20*time.Second, opened.Patience)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", opened, *opened.Store, *opened.Store), "hunter2")
	hadoop, err := environment.Load(environment.Options{Root: root, Name: "hadoop"})
	require.NoError(t, err)
	require.Equal(t, store.Config{HDFS: store.HDFS{NameNode: "namenode.example:8020", User: "me"}}, *hadoop.Lake.Catalog.Store)
}

func TestEncryptionKeys(t *testing.T) {
	root := project(t, `
environments:
  prod:
    temporal: {encryption: {key: new, keys: {new: {env: VARVE_TEST_KEY}, old: {file: old.key}}}}
`)
	local, err := environment.Load(environment.Options{Root: root})
	require.NoError(t, err)
	codec, err := local.Codec()
	require.NoError(t, err)
	require.Nil(t, codec)

	e, err := environment.Load(environment.Options{Root: root, Name: "prod"})
	require.NoError(t, err)
	_, err = e.Codec()
	require.ErrorContains(t, err, `encryption key "new": environment variable VARVE_TEST_KEY, which should hold a secret, is not set`)
	t.Setenv("VARVE_TEST_KEY", "hunter2")
	_, err = e.Codec()
	require.EqualError(t, err, `encryption key "new" in environment variable VARVE_TEST_KEY: expected 32 bytes in base64 or hex, as `+"`openssl rand -base64 32` writes them")
	t.Setenv("VARVE_TEST_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	require.NoError(t, os.WriteFile(filepath.Join(root, "old.key"), []byte("ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), 0o600))
	codec, err = e.Codec()
	require.NoError(t, err)
	require.NotNil(t, codec)
}
