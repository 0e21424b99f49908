package validity

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// manifests checks a snapshot's manifests and collects its live files.
func (k *check) manifests(s *table.Snapshot) {
	all, err := s.Manifests(k.fs)
	if err != nil {
		k.problem("manifest list %s: %w", s.ManifestList, err)
		return
	}
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.FilePath()] {
			k.problem("manifest %s is listed twice", m.FilePath())
		}
		seen[m.FilePath()] = true
		if err := k.manifest(s, m); err != nil {
			k.problem("manifest %s: %w", m.FilePath(), err)
		}
	}
	live := map[string]bool{}
	for _, e := range k.data {
		if live[e.file.FilePath()] {
			k.problem("data file %s is live twice", e.file.FilePath())
		}
		live[e.file.FilePath()] = true
	}
}

func (k *check) manifest(s *table.Snapshot, m iceberg.ManifestFile) error {
	equal(k, "length of manifest "+m.FilePath(), m.Length(), k.sizeOf(m.FilePath()))
	spec := k.meta.PartitionSpecByID(int(m.PartitionSpecID()))
	if spec == nil {
		return fmt.Errorf("it has partition spec %d, which is not in the table", m.PartitionSpecID())
	}
	var files [3]int32
	var rows [3]int64
	least := int64(-1)
	for e, err := range m.Entries(k.fs, false) {
		if err != nil {
			return err
		}
		f := e.DataFile()
		files[e.Status()]++
		rows[e.Status()] += f.Count()
		if (f.ContentType() == iceberg.EntryContentData) != (m.ManifestContent() == iceberg.ManifestContentData) {
			k.problem("%s is in a manifest of %s", f.FilePath(), m.ManifestContent())
		}
		if f.SpecID() != m.PartitionSpecID() {
			k.problem("%s has spec %d in a manifest of spec %d", f.FilePath(), f.SpecID(), m.PartitionSpecID())
		}
		if e.Status() == iceberg.EntryStatusADDED && e.SnapshotID() != m.SnapshotID() {
			k.problem("%s is added by snapshot %d in a manifest of snapshot %d", f.FilePath(), e.SnapshotID(), m.SnapshotID())
		}
		k.summarised(m, *spec, f)
		if e.Status() == iceberg.EntryStatusDELETED {
			continue
		}
		if n := e.SequenceNum(); n > s.SequenceNumber || n > m.SequenceNum() {
			k.problem("%s has sequence number %d, above the snapshot's, %d, or its manifest's, %d", f.FilePath(), n, s.SequenceNumber, m.SequenceNum())
		}
		if n := e.SequenceNum(); least < 0 || n < least {
			least = n
		}
		if f.ContentType() == iceberg.EntryContentData {
			k.data = append(k.data, entry{e, f})
		} else {
			k.deletes = append(k.deletes, entry{e, f})
		}
	}
	for status, said := range map[iceberg.ManifestEntryStatus]struct {
		files int32
		rows  int64
	}{
		iceberg.EntryStatusADDED: {m.AddedDataFiles(), m.AddedRows()}, iceberg.EntryStatusEXISTING: {m.ExistingDataFiles(), m.ExistingRows()},
		iceberg.EntryStatusDELETED: {m.DeletedDataFiles(), m.DeletedRows()},
	} {
		equal(k, fmt.Sprintf("number of %v files in %s", status, m.FilePath()), said.files, files[status])
		equal(k, fmt.Sprintf("number of %v rows in %s", status, m.FilePath()), said.rows, rows[status])
	}
	if least >= 0 && m.MinSequenceNum() > least {
		k.problem("manifest %s has least sequence number %d and an entry of %d", m.FilePath(), m.MinSequenceNum(), least)
	}
	if s.FirstRowID != nil && m.ManifestContent() == iceberg.ManifestContentData && m.FirstRowID() == nil {
		k.problem("manifest %s has no first row id", m.FilePath())
	}
	return nil
}

// summarised checks that the manifest's summary of partitions bounds a file's.
func (k *check) summarised(m iceberg.ManifestFile, spec iceberg.PartitionSpec, f iceberg.DataFile) {
	summaries := m.Partitions()
	if len(summaries) != spec.NumFields() {
		k.problem("manifest %s summarises %d partition fields of %d", m.FilePath(), len(summaries), spec.NumFields())
		return
	}
	for i, s := range summaries {
		field := spec.Field(i)
		value, ok := k.partitionLiteral(field, f.Partition()[field.FieldID])
		if !ok {
			if !s.ContainsNull && f.Partition()[field.FieldID] == nil {
				k.problem("manifest %s says that %s is never null, and in %s it is", m.FilePath(), field.Name, f.FilePath())
			}
			continue
		}
		if s.LowerBound == nil || s.UpperBound == nil {
			k.problem("manifest %s has no bounds of %s, which is %v in %s", m.FilePath(), field.Name, value, f.FilePath())
			continue
		}
		for _, bound := range []struct {
			bytes []byte
			most  int
		}{{*s.LowerBound, 0}, {*s.UpperBound, 1}} {
			b, err := iceberg.LiteralFromBytes(value.Type(), bound.bytes)
			if err != nil {
				k.problem("manifest %s: bound of %s: %w", m.FilePath(), field.Name, err)
			} else if order := compareLiterals(b, value); bound.most == 0 && order > 0 || bound.most == 1 && order < 0 {
				k.problem("manifest %s: bound %v of %s excludes %v of %s", m.FilePath(), b, field.Name, value, f.FilePath())
			}
		}
	}
}

func (k *check) sizeOf(uri string) int64 {
	in, err := k.fs.Open(uri)
	if err != nil {
		return -1
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return -1
	}
	return info.Size()
}
