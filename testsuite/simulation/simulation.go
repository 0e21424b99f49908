// Package simulation runs the commit protocol, MERGE, compaction, expiry and rollback over a catalog and a store in memory,
// under a scheduler that decides every interleaving by a seed.
//
// Each program is a goroutine that runs until its next I/O, where it parks. When all are parked the scheduler picks one,
// and what becomes of its I/O: it happens, it fails, its answer is lost, it happens twice, it shows an older state, or the
// process dies before or after it. All time is the fake clock of testing/synctest. The same seed makes the same run, to the
// last step; TestDeterminism holds it to that.
package simulation
