// Package commands is what Varve's sides of the benchmarks share: a process that holds a lake and answers commands, as the
// peers' sides do by bench/peer.py.
package commands

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
)

// Command answers one line of standard input, whose further words are its arguments. What it gives is written as a line of
// JSON, nil as an empty object.
type Command func(args ...string) (map[string]any, error)

// Done is a Command that takes no argument and has no answer but that it is done.
func Done(do func() error) Command {
	return func(...string) (map[string]any, error) { return nil, do() }
}

// Serve answers the commands on standard input until it ends, or until one fails.
func Serve(commands map[string]Command) error {
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		words := strings.Fields(in.Text())
		command, known := commands[words[0]]
		if !known {
			return fmt.Errorf("%s: no such command", in.Text())
		}
		answer, err := command(words[1:]...)
		if answer == nil {
			answer = map[string]any{}
		}
		if err == nil {
			err = out.Encode(answer)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
	}
	return in.Err()
}

// OpenLake opens the lake of a folder, which is made if it is not there, and which is also where rows are spilled to.
func OpenLake(ctx context.Context, work string, memory int64) (*tables.Lake, error) {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	return tables.OpenLake(ctx, tables.Config{Catalog: catalog.Config{
		Type: "sql", URI: "sqlite:///" + filepath.Join(work, "catalog.db"), Warehouse: "file://" + filepath.Join(work, "warehouse"),
	}, MemoryLimit: memory, TempDir: work})
}

// Plain is a schema without the field ids of the file that it was read from.
func Plain(schema *arrow.Schema) *arrow.Schema {
	fields := schema.Fields()
	for i := range fields {
		fields[i].Metadata = arrow.Metadata{}
	}
	return arrow.NewSchema(fields, nil)
}

// Peak is the process's greatest resident memory so far, in MB.
func Peak() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kb int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb / 1024, nil
		}
	}
	return 0, errors.New("/proc/self/status has no VmHWM")
}
