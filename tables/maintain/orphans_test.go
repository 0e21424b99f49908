package maintain

import (
	"bytes"
	"context"
	"io/fs"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

func TestPlacesAreTheSameWhateverTheirNames(t *testing.T) {
	p := &places{}
	for _, same := range [][]string{
		{"s3://b/wh/t/data/f.parquet", "s3a://b/wh/t/data/f.parquet", "S3N://b//wh/t/./data/f.parquet", "s3://b/wh/t/%64ata/f.parquet"},
		{"/no/such/f", "file:/no/such/f", "file:///no/such/f", "file://localhost/no/such//f"},
		{"hdfs://one:8020/wh/f", "hdfs:///wh/f", "hdfs://ha-name/wh/f"},
		{"s3://b/p=a%3Ab/f", "s3://b/p=a:b/f", "s3://b/p=a%253Ab/f"},
		{"gs://b/100%/f", "gs://b/100%25/f"},
	} {
		for _, uri := range same[1:] {
			require.Equal(t, p.of(same[0]), p.of(uri), uri)
		}
	}
	for _, other := range [][2]string{{"s3://a/x", "s3://b/x"}, {"s3://a/x", "gs://a/x"}, {"s3://a/x", "s3://a/X"}, {"/no/x", "/no/x2"}} {
		require.NotEqual(t, p.of(other[0]), p.of(other[1]))
	}
	require.False(t, p.of("s3://a/wh/t2").within(p.of("s3://a/wh/t")))
	require.True(t, p.of("s3a://a/wh/t/x").within(p.of("s3://a/wh/t/")))
	require.True(t, p.of("s3://a/wh").within(p.of("s3://a/")))
}

// shelf is a store of objects whose clock is not ours.
type shelf struct {
	clock   time.Duration            // what its clock is ahead
	objects map[string]time.Duration // age, by URI
	removed []string
}

func (s *shelf) now() time.Time { return time.Now().Add(s.clock) }

func (s *shelf) Open(uri string) (iceio.File, error) {
	age, ok := s.objects[uri]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &object{bytes.NewReader(nil), entry{uri, s.now().Add(-age)}}, nil
}

func (s *shelf) Create(string) (iceio.FileWriter, error) { panic("not used") }

func (s *shelf) WriteFile(uri string, _ []byte) error {
	s.objects[uri] = 0
	return nil
}

func (s *shelf) Remove(uri string) error {
	delete(s.objects, uri)
	s.removed = append(s.removed, uri)
	return nil
}

func (s *shelf) WalkDir(root string, fn fs.WalkDirFunc) error {
	for uri, age := range s.objects {
		if err := fn(uri, entry{uri, s.now().Add(-age)}, nil); err != nil {
			return err
		}
	}
	return nil
}

type object struct {
	*bytes.Reader
	entry
}

func (o *object) Close() error               { return nil }
func (o *object) Size() int64                { return 0 }
func (o *object) Stat() (fs.FileInfo, error) { return o.entry, nil }

type entry struct {
	uri string
	at  time.Time
}

func (e entry) Name() string               { return path.Base(e.uri) }
func (e entry) Size() int64                { return 1 }
func (e entry) Mode() fs.FileMode          { return 0 }
func (e entry) Type() fs.FileMode          { return 0 }
func (e entry) ModTime() time.Time         { return e.at }
func (e entry) IsDir() bool                { return false }
func (e entry) Sys() any                   { return nil }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }

func onShelf(t *testing.T, s *shelf, around Surroundings, o OrphanOptions) []string {
	t.Helper()
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String})
	meta, err := table.NewMetadata(schema, iceberg.UnpartitionedSpec, table.UnsortedSortOrder, "s3://b/wh/t", nil)
	require.NoError(t, err)
	tbl := table.New(table.Identifier{"ns", "t"}, meta, "s3a://b/wh/t/metadata/1.metadata.json", func(context.Context) (iceio.IO, error) { return s, nil }, nil)
	around.Staging, around.State = "_staging", "_varve"
	plan, err := FindOrphans(t.Context(), tbl, func(context.Context) (*table.Table, error) { return tbl, nil }, around, o)
	require.NoError(t, err)
	names := []string{}
	for _, f := range plan.Files {
		names = append(names, f.URI)
	}
	slices.Sort(names)
	return names
}

func TestNamesOfObjectsAreComparedWithoutScheme(t *testing.T) {
	old := 100 * time.Hour
	s := &shelf{objects: map[string]time.Duration{
		"s3://b/wh/t/metadata/1.metadata.json": old, "s3://b/wh/t/data/named a.parquet": old, "s3://b/wh/t/data/p=x%2Fy/named.parquet": old,
		"s3://b/wh/t/data/orphan.parquet": old, "s3://b/wh/t/other/data/theirs.parquet": old, "s3://b/wh/t/data/gateway.parquet": old,
	}}
	around := Surroundings{
		States: []string{"s3a://b/wh/t/data/named%20a.parquet", "s3n://b//wh/t/data/p=x%2Fy/named.parquet",
			"oss://alias/wh/t/data/gateway.parquet"}, // a gateway may show the same bucket by another scheme and name
		Foreign: []string{"s3a://b/wh/t/other/", "s3://b/wh/t3", "s3://c/wh/t"},
	}
	require.Equal(t, []string{"s3://b/wh/t/data/orphan.parquet"}, onShelf(t, s, around, OrphanOptions{}))
}

// Files are judged by the clock that stamped them, whatever this machine's shows.
func TestAgeIsByTheStoresClock(t *testing.T) {
	for _, ahead := range []time.Duration{0, 200 * time.Hour, -200 * time.Hour} {
		s := &shelf{clock: ahead, objects: map[string]time.Duration{
			"s3://b/wh/t/data/old.parquet": 80 * time.Hour, "s3://b/wh/t/data/young.parquet": 70 * time.Hour, "s3://b/wh/t/data/new.parquet": 0,
		}}
		require.Equal(t, []string{"s3://b/wh/t/data/old.parquet"}, onShelf(t, s, Surroundings{}, OrphanOptions{}), ahead)
		require.Len(t, s.removed, 1, "what the clock was asked with")
	}
}

func TestOrphansAreBounded(t *testing.T) {
	s := &shelf{objects: map[string]time.Duration{}}
	for i := range 50 {
		s.objects["s3://b/wh/t/data/"+string(rune('A'+i))+".parquet"] = 100 * time.Hour
	}
	require.Len(t, onShelf(t, s, Surroundings{}, OrphanOptions{Limit: 20}), 20)
}

// A build that has been under way for a little less than the age asked for is held against the store's time, which is asked for first.
func TestBuildsAreAskedForAfterTheClock(t *testing.T) {
	s, asked := &shelf{objects: map[string]time.Duration{}}, false
	onShelf(t, s, Surroundings{}, OrphanOptions{Longest: func(context.Context) (time.Duration, error) {
		asked = len(s.removed) == 1 // the file that tells the time
		return 0, nil
	}})
	require.True(t, asked)
}
