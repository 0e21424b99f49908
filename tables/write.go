package tables

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

// StageOptions says how rows are written before they are committed.
type StageOptions struct {
	// Prefix begins the names of the data files, so that a run's files can be told apart.
	Prefix         string
	TargetFileSize int64 // 0 means the table's write.target-file-size-bytes
	MemoryLimit    int64
	Parallelism    int
	// Progress, when set, is told the rows written so far.
	Progress func(rows int64)
}

// Staged is data files in the table's layout that no snapshot names yet.
type Staged struct {
	Files []iceberg.DataFile
	Rows  int64
	Bytes int64

	table string
}

// Encode gives Staged as bytes, for travelling by reference. Table.DecodeStaged reads them.
func (s *Staged) Encode() ([]byte, error) { return nil, errNotBuilt }

// DecodeStaged reads what Encode wrote.
func (t *Table) DecodeStaged(data []byte) (*Staged, error) { return nil, errNotBuilt }

// Discard removes the data files of staged work that will never be committed.
func (t *Table) Discard(ctx context.Context, staged ...*Staged) error { return errNotBuilt }

// Stage writes rows as data files in the table's layout. The columns of rows are matched to the table's by name.
// Stage releases the reader.
func (t *Table) Stage(ctx context.Context, rows array.RecordReader, opts StageOptions) (*Staged, error) {
	return nil, errNotBuilt
}

// CommitOptions go with every change of a table.
type CommitOptions struct {
	ID         commit.ID
	Checkpoint *Checkpoint       // committed with the rows
	Summary    map[string]string // goes into the snapshot's summary: varve.pipeline, varve.run, ...
	Isolation  string            // serializable (the default) | snapshot
	// Observe, when set, is told of conflicts and unknown outcomes as they happen.
	Observe func(commit.Event)
}

// Result is what an operation did.
type Result struct {
	SnapshotID       int64 // 0 if no snapshot was made
	Committed        bool
	AlreadyCommitted bool

	RowsIn, Inserted, Updated, Deleted, Unchanged int64

	FilesAdded, FilesRemoved, DeleteFilesAdded int
	BytesRead, BytesWritten                    int64
	Attempts, Conflicts, UnknownOutcomes       int
	GroupsRedone                               int
	Stages                                     map[string]time.Duration
	Warnings                                   []string
}

// Append adds the staged rows. Without any, only the checkpoint is committed and no snapshot is made.
func (t *Table) Append(ctx context.Context, opts CommitOptions, staged ...*Staged) (Result, error) {
	return Result{}, errNotBuilt
}

// Replace makes the staged rows the table's only rows, in one snapshot.
func (t *Table) Replace(ctx context.Context, opts CommitOptions, staged ...*Staged) (Result, error) {
	return Result{}, errNotBuilt
}

// ReplacePartitions makes the staged rows the only rows of the partitions that they lie in. Columns, when given, are
// the ones that the table must be partitioned by (by identity) for a partition to be replaced as asked.
func (t *Table) ReplacePartitions(ctx context.Context, opts CommitOptions, columns []string, staged ...*Staged) (Result, error) {
	return Result{}, errNotBuilt
}

// Merge carries out a MERGE of the source.
func (t *Table) Merge(ctx context.Context, opts CommitOptions, m merge.Options, source merge.Source) (Result, error) {
	return Result{}, errNotBuilt
}

// SetCheckpoint commits a checkpoint alone.
func (t *Table) SetCheckpoint(ctx context.Context, opts CommitOptions) (Result, error) {
	return Result{}, errNotBuilt
}

// Rollback makes an earlier snapshot of the main branch the current one, and the checkpoints of all writers what they
// were then.
func (t *Table) Rollback(ctx context.Context, opts CommitOptions, to Version) (Result, error) {
	return Result{}, errNotBuilt
}
