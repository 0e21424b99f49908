package catalog

import "time"

func init() { firstPause = time.Microsecond }

// ClassifySQLite lets tests class an error as a reading operation's.
func ClassifySQLite(op string, err error) error { return classifySQLite(op, err, false) }
