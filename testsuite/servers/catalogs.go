package servers

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// REST is a running server of Iceberg's REST protocol.
type REST struct {
	URI       string
	Warehouse string // its name; empty where the server has but one
}

// IcebergREST starts Apache's reference server with its tables in the bucket.
func IcebergREST(t testing.TB, s3 S3) REST {
	t.Helper()
	return icebergREST(t, []string{
		"CATALOG_WAREHOUSE=s3://" + s3.Bucket + "/rest", "CATALOG_IO__IMPL=org.apache.iceberg.aws.s3.S3FileIO",
		"CATALOG_S3_ENDPOINT=" + s3.Endpoint, "CATALOG_S3_PATH__STYLE__ACCESS=true", "AWS_REGION=" + s3.Region,
		"AWS_ACCESS_KEY_ID=" + s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3.SecretKey,
	})
}

// IcebergRESTLocal starts Apache's reference server with its tables in a folder of this machine.
func IcebergRESTLocal(t testing.TB, warehouse string) REST {
	t.Helper()
	return icebergREST(t, []string{"CATALOG_WAREHOUSE=file://" + warehouse, "CATALOG_IO__IMPL=org.apache.iceberg.hadoop.HadoopFileIO"})
}

func icebergREST(t testing.TB, env []string) REST {
	t.Helper()
	dir := Folder(t)
	port := Port(t)
	env = append(env,
		// Its own default, an SQLite in memory, is forgotten when a connection ends; two connections lock each other out.
		"CATALOG_URI=jdbc:sqlite:"+filepath.Join(t.TempDir(), "rest.db"), "CATALOG_CLIENTS=1", fmt.Sprintf("CATALOG_REST_PORT=%d", port))
	p := start(t, "Iceberg's REST server", env, java(t, 17), "-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp", jar(t, dir, "iceberg-open-api-1.10.0.jar"),
		"org.apache.iceberg.rest.RESTCatalogServer")
	r := REST{URI: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.await(t, answers(r.URI+"/v1/config"))
	return r
}

// Nessie starts Project Nessie, in memory, with its warehouse "lake" in the bucket.
func Nessie(t testing.TB, s3 S3) REST {
	t.Helper()
	dir := Folder(t)
	port, management := Port(t), Port(t)
	const options = "-Dnessie.catalog.service.s3.default-options."
	p := start(t, "Nessie", nil, java(t, 25), "-Xmx512m", "-XX:TieredStopAtLevel=1",
		"-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.access-log.enabled=false", fmt.Sprintf("-Dquarkus.http.port=%d", port), fmt.Sprintf("-Dquarkus.management.port=%d", management),
		"-Dnessie.catalog.default-warehouse=lake", "-Dnessie.catalog.warehouses.lake.location=s3://"+s3.Bucket+"/nessie",
		options+"endpoint="+s3.Endpoint, options+"region="+s3.Region, options+"path-style-access=true",
		options+"request-signing-enabled=false", options+"access-key=urn:nessie-secret:quarkus:store",
		"-Dstore.name="+s3.AccessKey, "-Dstore.secret="+s3.SecretKey,
		"-jar", jar(t, dir, "nessie-quarkus-0.99.0-runner.jar"))
	r := REST{URI: fmt.Sprintf("http://127.0.0.1:%d/iceberg", port), Warehouse: "lake"}
	p.await(t, answers(r.URI+"/v1/config"))
	return r
}

// Branch makes a branch of Nessie's where another one stands.
func (r REST) Branch(t testing.TB, name, from string) {
	t.Helper()
	r.api(t, http.MethodPost, "trees?type=BRANCH&name="+url.QueryEscape(name), map[string]string{"type": "BRANCH", "name": from, "hash": r.hash(t, from)})
}

// Commits counts the commits of a branch of Nessie's that put each table, by its name.
func (r REST) Commits(t testing.TB, branch string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for token := ""; ; {
		var page struct {
			LogEntries []struct {
				Operations []struct {
					Type    string
					Key     struct{ Elements []string }
					Content struct{ Type string }
				}
			}
			HasMore bool
			Token   string
		}
		path := "trees/" + url.PathEscape(branch) + "/history?fetch=ALL&page-token=" + url.QueryEscape(token)
		if err := json.Unmarshal(r.api(t, http.MethodGet, path, nil), &page); err != nil {
			t.Fatal(err)
		}
		for _, entry := range page.LogEntries {
			for _, op := range entry.Operations {
				if op.Type == "PUT" && op.Content.Type == "ICEBERG_TABLE" {
					out[strings.Join(op.Key.Elements, ".")]++
				}
			}
		}
		if token = page.Token; !page.HasMore {
			return out
		}
	}
}

func (r REST) hash(t testing.TB, branch string) string {
	t.Helper()
	var out struct{ Reference struct{ Hash string } }
	if err := json.Unmarshal(r.api(t, http.MethodGet, "trees/"+url.PathEscape(branch), nil), &out); err != nil {
		t.Fatal(err)
	}
	return out.Reference.Hash
}

func (r REST) api(t testing.TB, method, path string, body any) []byte {
	t.Helper()
	var sent io.Reader
	if body != nil {
		content, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(content)
	}
	req, err := http.NewRequest(method, strings.TrimSuffix(r.URI, "/iceberg")+"/api/v2/"+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s %v", method, path, resp.Status, answer, err)
	}
	return answer
}

func jar(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, "jars", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed: %v", name, err)
	}
	return path
}

// java finds a JDK by VARVE_JAVA_17 or VARVE_JAVA_25, or among those in /usr/lib/jvm.
func java(t testing.TB, version int) string {
	t.Helper()
	variable := fmt.Sprintf("VARVE_JAVA_%d", version)
	candidates, _ := filepath.Glob(fmt.Sprintf("/usr/lib/jvm/*%d*", version))
	if home := os.Getenv(variable); home != "" {
		candidates = []string{home}
	}
	for _, home := range candidates {
		if path := filepath.Join(home, "bin", "java"); executable(path) {
			return path
		}
	}
	t.Fatalf("no JDK %d: name its folder in %s", version, variable)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// Postgres is a running PostgreSQL server with one database.
type Postgres struct {
	Port                     int
	User, Password, Database string
}

// URI names the database as libpq does, without the password.
func (p Postgres) URI() string { return p.At(fmt.Sprintf("127.0.0.1:%d", p.Port)) }

// At is the URI of the same database by another address.
func (p Postgres) At(address string) string {
	return fmt.Sprintf("postgresql://%s/%s?user=%s&sslmode=disable", address, p.Database, p.User)
}

// PostgreSQL starts a server that asks for a password, on a cluster of its own.
func PostgreSQL(t testing.TB) Postgres {
	t.Helper()
	Folder(t)
	// The server refuses to run as root, and its user cannot enter the test's own folders.
	data, err := os.MkdirTemp("", "varve-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	pg := Postgres{Port: Port(t), User: "lake", Password: "varve-password-of-postgres", Database: "lake"}
	as := unprivileged(t)
	if err := os.WriteFile(filepath.Join(data, "password"), []byte(pg.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if as != nil {
		if err := os.Chown(data, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	cluster := filepath.Join(data, "cluster")
	init := exec.Command(postgresTool(t, "initdb"), "-D", cluster, "-U", pg.User, "--pwfile", filepath.Join(data, "password"),
		"--auth", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale", "C")
	init.Dir, init.SysProcAttr = data, &syscall.SysProcAttr{Credential: as}
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p := startAs(t, "PostgreSQL", as, data, nil, postgresTool(t, "postgres"), "-D", cluster, "-p", fmt.Sprint(pg.Port),
		"-h", "127.0.0.1", "-k", data, "-c", "fsync=off", "-c", "log_min_messages=fatal")
	create := func() error {
		c := exec.Command(postgresTool(t, "psql"), "-h", "127.0.0.1", "-p", fmt.Sprint(pg.Port), "-U", pg.User, "-d", "postgres", "-c", "CREATE DATABASE "+pg.Database)
		c.Env = append(os.Environ(), "PGPASSWORD="+pg.Password)
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	p.await(t, create)
	return pg
}

func postgresTool(t testing.TB, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("PostgreSQL's %s is not installed: %v", name, err)
	}
	return path
}

// unprivileged is who runs what refuses to run as root; nil where this process is not root's.
func unprivileged(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("neither postgres nor nobody is a user here")
	return nil
}

//go:embed read_pyiceberg.py
var readPyIceberg string

// PyIceberg reads a table of the suite by PyIceberg: its rows as sorted texts. properties are the catalog's, as JSON.
func PyIceberg(t testing.TB, name, properties, table string) (rows []string) {
	t.Helper()
	dir := Folder(t)
	c := exec.Command(filepath.Join(dir, "venv", "bin", "python"), "-c", readPyIceberg, name, properties, table)
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("PyIceberg: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatalf("PyIceberg printed %q: %v", out, err)
	}
	return rows
}
