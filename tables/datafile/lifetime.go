package datafile

import "sync/atomic"

// lifetime counts references as arrow's readers do: it begins with one.
type lifetime struct {
	more atomic.Int64 // references beyond the first
	last func()
}

func (l *lifetime) onLast(f func()) { l.last = f }

// Retain adds a reference.
func (l *lifetime) Retain() { l.more.Add(1) }

// Release drops one; the last frees everything.
func (l *lifetime) Release() {
	if l.more.Add(-1) == -1 {
		l.last()
	}
}
