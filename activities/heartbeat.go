package activities

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/varve-lake/varve/activities/wire"
)

// pulsePeriod is the time between two heartbeats. Each brings back whether the activity is cancelled.
const pulsePeriod = 2 * time.Second

// pulse counts what an activity has done and tells Temporal every few seconds. It is safe for concurrent use, and nil
// outside of Temporal.
type pulse struct {
	stage atomic.Pointer[string]
	files atomic.Int64
	rows  atomic.Int64
	bytes atomic.Int64
}

// startPulse begins to heartbeat. Activities spend their time in reads and writes that report nothing, so a goroutine
// of its own keeps time.
func startPulse(ctx context.Context) (*pulse, func()) {
	p := &pulse{}
	p.at("started")
	if !activity.IsActivity(ctx) {
		return p, func() {}
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Add(1)
	go func() {
		defer ended.Done()
		tick := time.NewTicker(pulsePeriod)
		defer tick.Stop()
		for {
			activity.RecordHeartbeat(ctx, p.heartbeat())
			select {
			case <-tick.C:
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return p, func() {
		close(done)
		ended.Wait()
	}
}

func (p *pulse) heartbeat() wire.Heartbeat {
	return wire.Heartbeat{Stage: *p.stage.Load(), Files: p.files.Load(), Rows: p.rows.Load(), Bytes: p.bytes.Load()}
}

// at says what the activity is about to do.
func (p *pulse) at(stage string) { p.stage.Store(&stage) }
