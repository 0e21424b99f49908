package servers

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// S3 is a running server of Amazon's protocol with one bucket.
type S3 struct {
	Endpoint, Region, Bucket, AccessKey, SecretKey string
	Folder                                         string // where the gateway keeps the bucket's objects as files
}

// VersityGW starts versitygw on a folder of the test's.
func VersityGW(t testing.TB) S3 {
	t.Helper()
	dir := Folder(t)
	s := S3{
		Endpoint: fmt.Sprintf("http://127.0.0.1:%d", Port(t)), Region: "us-east-1", Bucket: "lake",
		AccessKey: "varve-access", SecretKey: "varve-secret-of-s3", Folder: t.TempDir(),
	}
	for _, sub := range []string{filepath.Join("buckets", s.Bucket), "sidecar"} {
		if err := os.MkdirAll(filepath.Join(s.Folder, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}
	// Attributes lie beside the files: not every file system of a test machine has extended ones.
	p := start(t, "versitygw", env, filepath.Join(dir, "bin", "versitygw"), "--region", s.Region, "--quiet",
		"--port", s.Endpoint[len("http://"):], "posix", "--sidecar", filepath.Join(s.Folder, "sidecar"), filepath.Join(s.Folder, "buckets"))
	p.await(t, answers(s.Endpoint+"/"))
	return s
}

// GCS is a running server of Google Cloud Storage's protocol with one bucket.
type GCS struct{ Endpoint, Bucket string }

// FakeGCS starts fake-gcs-server, in memory.
func FakeGCS(t testing.TB) GCS {
	t.Helper()
	dir := Folder(t)
	port := Port(t)
	g := GCS{Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port), Bucket: "lake"}
	p := start(t, "fake-gcs-server", nil, filepath.Join(dir, "bin", "fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1",
		"-port", fmt.Sprint(port), "-external-url", g.Endpoint, "-public-host", fmt.Sprintf("127.0.0.1:%d", port), "-backend", "memory", "-log-level", "error")
	p.await(t, func() error {
		resp, err := http.Post(g.Endpoint+"/storage/v1/b?project=lake", "application/json", strings.NewReader(`{"name":"`+g.Bucket+`"}`))
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("create bucket: %s", resp.Status)
		}
		return nil
	})
	return g
}

//go:embed MiniDFS.java
var miniDFS []byte

// HDFS starts a name node and a data node, and returns the name node's address. Its superuser is "lake".
func HDFS(t testing.TB) string {
	t.Helper()
	dir := Folder(t)
	state := t.TempDir()
	source := filepath.Join(state, "MiniDFS.java")
	if err := os.WriteFile(source, miniDFS, 0o644); err != nil {
		t.Fatal(err)
	}
	var classes []string
	for _, name := range []string{
		"hadoop-client-api-3.4.1", "hadoop-client-runtime-3.4.1", "hadoop-client-minicluster-3.4.1", "slf4j-api-1.7.36", "slf4j-nop-1.7.36",
		"commons-logging-1.2",
	} {
		classes = append(classes, jar(t, dir, name+".jar"))
	}
	port := Port(t)
	p := startAs(t, "HDFS", nil, state, []string{"HADOOP_USER_NAME=lake"}, java(t, 17), "-Xmx384m", "-XX:TieredStopAtLevel=1",
		"-cp", strings.Join(classes, ":"), source, fmt.Sprint(port), filepath.Join(state, "dfs"))
	p.await(t, func() error {
		if !strings.Contains(p.log.String(), "ready") {
			return errors.New("it is not ready")
		}
		return nil
	})
	return fmt.Sprintf("127.0.0.1:%d", port)
}
