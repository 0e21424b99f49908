package spec_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/spec"
)

func decodeProject(t *testing.T) *spec.Project {
	t.Helper()
	data, err := os.ReadFile("testdata/varve.yaml")
	require.NoError(t, err)
	project, found := spec.DecodeProject("conf/varve.yaml", data, spec.DecodeOptions{Getenv: getenv})
	require.Empty(t, found)
	return project
}

func TestDecodeProject(t *testing.T) {
	project := decodeProject(t)
	local, found := project.Environment("")
	require.NoError(t, found.Err())
	require.Equal(t, "local", local.Name.Value)
	require.Equal(t, "varve", local.Temporal.TaskQueue)
	require.Empty(t, local.Catalog.Type)

	shared, found := project.Environment("shared")
	require.NoError(t, found.Err())
	require.Equal(t, "sqlite:///srv/lake/catalog.db", shared.Catalog.URI)
	require.Equal(t, "varve", shared.Catalog.Name)
	require.Equal(t, int64(4e9), shared.Limits.Memory)
	require.Equal(t, spec.Secret{File: filepath.Join("conf", "tls.pem")}, shared.Temporal.TLS.Cert, "relative to the project file")
	require.Equal(t, spec.Secret{File: "/etc/tls.key"}, shared.Temporal.TLS.Key)
	require.Equal(t, "2026-11", shared.Temporal.Encryption.Key)
	require.Len(t, shared.Temporal.Encryption.Keys, 2)
	require.Equal(t, "2026-05", shared.Temporal.Encryption.Keys[1].ID.Value)
	require.Equal(t, spec.Secret{File: filepath.Join("conf", "old.key")}, shared.Temporal.Encryption.Keys[1].Key)
}

func TestWhatIsNotYetSupportedIsSaidWhenSelected(t *testing.T) {
	project := decodeProject(t)
	_, found := project.Environment("prod")
	require.EqualError(t, found.Err(), `conf/varve.yaml:11:12: error: environment "prod" needs Trino, which is not yet supported
   | trino: {uri: https://trino.example:8443, catalog: lake}
   |        ^`)
}

func TestAnEmptyProjectHasTheLocalEnvironment(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "environments: {}\n"} {
		project, found := spec.DecodeProject("varve.yaml", []byte(text), spec.DecodeOptions{})
		require.Empty(t, found, text)
		local, found := project.Environment("")
		require.NoError(t, found.Err(), text)
		require.Equal(t, spec.LocalEnvironment(), local)
		_, found = project.Environment("prod")
		require.EqualError(t, found.Err(), `varve.yaml:1:1: error: no environment "prod": the project has local`)
	}
}

func TestUnknownEnvironment(t *testing.T) {
	_, found := decodeProject(t).Environment("prd")
	require.ErrorContains(t, found.Err(), `no environment "prd": the project has local, shared, prod`)
	require.ErrorContains(t, found.Err(), `did you mean "prod"?`)
}

// What varve.yaml names as a secret no pipeline can refer to, whatever its name is.
func TestAPipelineCannotReferToASecret(t *testing.T) {
	project, found := spec.DecodeProject("varve.yaml", []byte("environments:\n  prod:\n    catalog: {type: rest, uri: https://c.example, credential: {env: LAKE_LOGIN}}\n"+
		"    store: {s3: {access_key: {env: ID}, secret_key: {file: key}}}\n  local: {temporal: {encryption: {key: a, keys: {a: {env: REGION}}}}}\n"), spec.DecodeOptions{})
	require.NoError(t, found.Err())
	require.ElementsMatch(t, []string{"LAKE_LOGIN", "ID", "REGION"}, project.Secrets)
	pipeline := []byte("pipeline: p\ntables:\n  bronze.a: {source: {files: \"${env:REGION}/a.csv\"}}\n")
	_, found = spec.Decode("p.yaml", pipeline, spec.DecodeOptions{Getenv: getenv})
	require.NoError(t, found.Err())
	_, found = spec.Decode("p.yaml", pipeline, spec.DecodeOptions{Getenv: getenv, Secrets: project.Secrets})
	require.ErrorContains(t, found.Err(), "p.yaml:3:31: error: ${env:REGION} is a secret, which varve.yaml names: secrets are named, never inlined")
}

func TestProjectDiagnosticsShowNoSecret(t *testing.T) {
	runCases(t, "testdata/project/*.txt", func(input string) string {
		project, found := spec.DecodeProject("varve.yaml", []byte(input), spec.DecodeOptions{Getenv: getenv})
		require.Nil(t, project)
		require.NotContains(t, found.Error(), "hunter2")
		return found.Error()
	})
}

func TestSecretResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("hunter2\n"), 0o600))
	value, err := spec.Secret{File: file}.Resolve()
	require.NoError(t, err)
	require.Equal(t, "hunter2", value)

	t.Setenv("VARVE_TEST_SECRET", "hunter3")
	value, err = spec.Secret{Env: "VARVE_TEST_SECRET"}.Resolve()
	require.NoError(t, err)
	require.Equal(t, "hunter3", value)

	_, err = spec.Secret{Env: "VARVE_TEST_ABSENT"}.Resolve()
	require.EqualError(t, err, "environment variable VARVE_TEST_ABSENT, which should hold a secret, is not set")
	_, err = spec.Secret{File: file + ".absent"}.Resolve()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = spec.Secret{}.Resolve()
	require.Error(t, err)
	require.Equal(t, "file "+file, spec.Secret{File: file}.String())
}
