package tables

import "github.com/varve-lake/varve/tables/commit"

// Config is what the lake was opened with.
func (l *Lake) Config() Config { return l.cfg }

// CommitThrough puts something between the lake's tables and its catalog.
func (l *Lake) CommitThrough(c commit.Catalog) { l.committer = c }
