package conformance

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/store"
	"github.com/varve-lake/varve/testsuite/servers"
)

// storeOperation is what sends a kind of request first. check looks, from beside the proxy, at what it has left: all or
// nothing, and all of it if the operation said so.
type storeOperation struct {
	size  int  // of the object that is written or read
	there bool // before
	do    func(fs files, uri string, content []byte) error
	check func(t testing.TB, clear files, uri string, content []byte, done bool)
}

func writes(size int) storeOperation {
	return storeOperation{
		size: size,
		do:   func(fs files, uri string, content []byte) error { return fs.WriteFile(uri, content) },
		check: func(t testing.TB, clear files, uri string, content []byte, done bool) {
			got, err := clear.ReadFile(uri)
			if !done && err != nil {
				require.ErrorIs(t, err, fault.ErrAbsent)
				return
			}
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got), "%s: whole, or not there", uri)
		},
	}
}

func reads(read func(fs files, uri string, content []byte) error) storeOperation {
	return storeOperation{size: 200 << 10, there: true, do: read, check: func(testing.TB, files, string, []byte, bool) {}}
}

func removes(remove func(fs files, uri string) error) storeOperation {
	return storeOperation{
		size: 100, there: true,
		do: func(fs files, uri string, _ []byte) error { return remove(fs, uri) },
		check: func(t testing.TB, clear files, uri string, _ []byte, done bool) {
			if done {
				_, err := clear.Stat(uri)
				require.ErrorIs(t, err, fault.ErrAbsent)
			}
		},
	}
}

func same(got, want []byte, err error) error {
	if err == nil && !bytes.Equal(got, want) {
		return fmt.Errorf("%d other bytes than the %d that were written", len(got), len(want))
	}
	return err
}

var storeOperations = map[string]storeOperation{
	"put":             writes(1000),
	"create upload":   writes(9 << 20),
	"upload part":     writes(9 << 20),
	"complete upload": writes(9 << 20),
	"get of the end": reads(func(fs files, uri string, content []byte) error {
		f, err := fs.Open(uri)
		if err != nil {
			return err
		}
		defer f.Close()
		end := make([]byte, 1000)
		_, err = f.ReadAt(end, int64(len(content)-len(end)))
		return same(end, content[len(content)-len(end):], err)
	}),
	"ranged get": reads(func(fs files, uri string, content []byte) error {
		f, err := fs.Open(uri)
		if err != nil {
			return err
		}
		defer f.Close()
		part := make([]byte, 50_000)
		_, err = f.ReadAt(part, 7)
		return same(part, content[7:7+len(part)], err)
	}),
	"get": reads(func(fs files, uri string, content []byte) error {
		f, err := fs.Open(uri)
		if err != nil {
			return err
		}
		defer f.Close()
		got, err := io.ReadAll(f)
		return same(got, content, err)
	}),
	"head": reads(func(fs files, uri string, content []byte) error {
		info, err := fs.Stat(uri)
		if err == nil && info.Size() != int64(len(content)) {
			return fmt.Errorf("%d bytes, want %d", info.Size(), len(content))
		}
		return err
	}),
	"list": reads(func(fs files, uri string, _ []byte) error {
		folder := uri[:strings.LastIndex(uri, "/")]
		found, err := listed(fs, folder)
		if err == nil && (len(found) != 1 || found[0] != uri) {
			return fmt.Errorf("listed %v, want %s", found, uri)
		}
		return err
	}),
	"delete": removes(func(fs files, uri string) error { return fs.Remove(uri) }),
	"delete many": removes(func(fs files, uri string) error {
		_, err := fs.DeleteFiles(ctx, []string{uri, uri + "-that-never-was"})
		return err
	}),
}

// storeCell has one operation on a file of its own meet a fault.
func storeCell(clear *store.Stores, folder string, s lossyStore) cell {
	return func(t testing.TB, kind string, f servers.Fault, try int) (string, bool) {
		op := storeOperations[kind]
		uri := fmt.Sprintf("%s/%s/%s/%d/file", folder, strings.ReplaceAll(kind, " ", "-"), strings.ReplaceAll(string(f), " ", "-"), try)
		content := noise(op.size)
		beside, err := clear.FS(ctx, folder)
		require.NoError(t, err)
		if op.there {
			require.NoError(t, beside.(files).WriteFile(uri, content))
		}
		choose, met := s.protocol.First(kind, f)
		p := servers.NewFaultProxy(t, s.endpoint, servers.FaultOptions{Choose: choose, Refuse: s.protocol.Refuse})
		through := s.config(p.URI)
		through.Patience = shortPatience
		stores := store.NewStores(through)
		defer stores.Close()
		made, err := stores.FS(ctx, folder)
		require.NoError(t, err)
		err = op.do(made.(files), uri, content)
		op.check(t, beside.(files), uri, content, err == nil)
		outcome := outcomeOf(err)
		if err != nil {
			t.Logf("%s: %s: %v", kind, f, err)
			require.NoError(t, op.do(made.(files), uri, content), "%s: %s: the same again", kind, f)
			op.check(t, beside.(files), uri, content, true)
		}
		return outcome, met()
	}
}

func TestLossyStoreS3(t *testing.T) {
	t.Parallel()
	s3 := servers.VersityGW(t)
	clear := store.NewStores(*s3Store(s3))
	defer clear.Close()
	m := &matrix{name: "S3", kinds: []string{
		"put", "create upload", "upload part", "complete upload", "get", "get of the end", "ranged get", "head", "list", "delete", "delete many",
	}}
	m.run(t, servers.Faults, storeCell(clear, "s3://"+s3.Bucket+"/matrix", onS3(s3)))
}

func TestLossyStoreGCS(t *testing.T) {
	t.Parallel()
	gcs := servers.FakeGCS(t)
	clear := store.NewStores(store.Config{GCS: store.GCS{Endpoint: gcs.Endpoint}})
	defer clear.Close()
	m := &matrix{name: "GCS", kinds: []string{"put", "create upload", "upload part", "get", "get of the end", "ranged get", "head", "list", "delete"}}
	m.run(t, servers.Faults, storeCell(clear, "gs://"+gcs.Bucket+"/matrix", onGCS(t, gcs)))
}
