package servers

import (
	"fmt"
	"os"
	"path/filepath"
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
