package immense

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// HeapPeak calls do and gives the most that the heap had in the meantime, in bytes above what it had before.
func HeapPeak(do func()) int64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	now := func() int64 {
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	before, most := now(), make(chan int64)
	stop := make(chan struct{})
	go func() {
		peak := int64(0)
		for {
			peak = max(peak, now())
			select {
			case <-stop:
				most <- peak
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	do()
	close(stop)
	return <-most - before
}
