package spec

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// Days, weeks and years are fixed lengths: no calendar is asked.
const (
	day  = 24 * time.Hour
	week = 7 * day
	year = 365 * day
)

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": week, "y": year,
}

const durationPattern = `^([0-9]+(ms|s|m|h|d|w|y))+$`

var (
	durationForm = regexp.MustCompile(durationPattern)
	durationPart = regexp.MustCompile(`([0-9]+)(ms|s|m|h|d|w|y)`)
)

// ParseDuration reads a duration with units, such as 30s, 1h30m, 7d or 7y: ms, s, m, h, d (24 h), w (7 d), y (365 d).
func ParseDuration(s string) (time.Duration, error) {
	if !durationForm.MatchString(s) {
		return 0, fmt.Errorf("expected a duration with units, such as 30s, 15m, 1h30m, 7d or 7y, found %q", shorten(s))
	}
	var total time.Duration
	for _, part := range durationPart.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseInt(part[1], 10, 64)
		unit := durationUnits[part[2]]
		if err != nil || n > int64(math.MaxInt64/unit) || total > math.MaxInt64-time.Duration(n)*unit {
			return 0, fmt.Errorf("duration %s is too long: at most 292 years", shorten(s))
		}
		total += time.Duration(n) * unit
	}
	return total, nil
}

var sizeUnits = map[string]int64{
	"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

const sizePattern = `^[0-9]+(\.[0-9]+)? ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`

var sizeForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`)

// ParseSize reads a number of bytes with its unit, such as 512MB or 1.5GiB: KB, MB, GB and TB are powers of 1000, KiB,
// MiB, GiB and TiB of 1024.
func ParseSize(s string) (int64, error) {
	parts := sizeForm.FindStringSubmatch(s)
	if parts == nil {
		return 0, fmt.Errorf("expected a size with its unit, such as 512MB or 1.5GiB, found %q", shorten(s))
	}
	n, err := strconv.ParseFloat(parts[1], 64)
	bytes := n * float64(sizeUnits[parts[2]])
	if err != nil || bytes >= math.MaxInt64 {
		return 0, fmt.Errorf("size %s is too large", shorten(s))
	}
	return int64(bytes), nil
}
