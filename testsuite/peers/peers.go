// Package peers runs the scripts of this folder, in which other systems read and write a lake, with the systems that the
// script install has put into a cache.
package peers

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Peers are the installed systems.
type Peers struct {
	scripts, home string
}

// Install installs the systems, which does nothing if they are there. root is the project's folder.
func Install(t testing.TB, root string) *Peers {
	t.Helper()
	p := &Peers{scripts: filepath.Join(root, "testsuite", "peers")}
	var said bytes.Buffer
	c := exec.Command(filepath.Join(p.scripts, "install"))
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("install the peers: %v\n%s", err, said.String())
	}
	p.home = strings.TrimSpace(string(out))
	return p
}

// Jars is the folder of what Spark is to load.
func (p *Peers) Jars() string { return filepath.Join(p.home, "jars") }

// Python runs a script.
func (p *Peers) Python(t testing.TB, script string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(p.home, "venv", "bin", "python"), append([]string{filepath.Join(p.scripts, script)}, args...)...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}
