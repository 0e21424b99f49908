package host

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"
)

// nameBinary tells the SDK by which name it records, with each workflow task, the binary that completed it (Temporal's binary
// checksum). By itself the SDK reads the whole executable for that and hashes it, 0.4 s of CPU for one of 370 MB, at every start of
// a worker.
var nameBinary = sync.OnceFunc(func() {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	var file os.FileInfo
	if path, err := os.Executable(); err == nil {
		file, _ = os.Stat(path)
	}
	if name := binaryName(version, file); name != "" {
		worker.SetBinaryChecksum(name)
	}
})

// binaryName is the version that Go stamps, or, in a build of which that does not tell all, what its executable's size and time tell;
// empty if neither is known.
func binaryName(version string, executable os.FileInfo) string {
	if version != "" && version != "(devel)" && !strings.Contains(version, "+dirty") {
		return "varve " + version
	}
	if executable == nil {
		return ""
	}
	return fmt.Sprintf("varve built %s, %d bytes", executable.ModTime().UTC().Format(time.RFC3339Nano), executable.Size())
}
