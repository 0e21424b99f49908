package commit

import (
	"fmt"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
)

// A table's metadata tell when it was changed, in the order of its changes. Java's library, which other engines use, and iceberg-go refuse
// a change by a clock that is more than a minute behind the last one; what is in between is taken for clocks that differ. Neither sets a
// snapshot's time forth to that of the one before, as the specification would allow, and no more is it done here: expiry goes by these
// times, and a machine whose clock is wrong is better told so than believed.
const clocksMayDiffer = time.Minute

// checkClock is a passing fault where this machine's clock is so far behind the table's last change that no commit can be staged. hopeless
// says that it will be for longer than is worth waiting here, where another machine may have a better clock. It goes by time.Now, as the
// library does that would refuse.
func (p *protocol) checkClock(head table.Metadata) (hopeless bool, err error) {
	now, last := time.Now(), time.UnixMilli(lastChange(head))
	behind := last.Sub(now)
	if behind <= clocksMayDiffer {
		return false, nil
	}
	const form = "2006-01-02T15:04:05.000Z07:00"
	return behind > 2*clocksMayDiffer, fault.New(ErrPassing, "commit "+p.name(), fmt.Errorf(
		"the clocks differ: it is %s on this machine, and the table was last changed at %s by the clock of who did; a commit may be %s behind, and this one is %s: set the clock",
		now.UTC().Format(form), last.UTC().Format(form), clocksMayDiffer, behind.Round(time.Millisecond)))
}

// lastChange is the newest of the times that a change may not be before, in milliseconds since 1970.
func lastChange(meta table.Metadata) int64 {
	last := meta.LastUpdatedMillis()
	for entry := range meta.SnapshotLogs() {
		last = max(last, entry.TimestampMs)
	}
	return last
}
