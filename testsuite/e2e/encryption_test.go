package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/varve-lake/varve/testsuite/lab"
)

// TestEncryptedPayloads turns encryption on, rotates its key and drops the old one, and looks at what the Temporal server
// has kept: as bytes of its histories and of its database.
func TestEncryptedPayloads(t *testing.T) {
	l := lab.Empty(t, lab.Build(t))
	airlines, err := os.ReadFile(filepath.Join(lab.Root(t), "pipelines", "data", "airlines.csv"))
	require.NoError(t, err)
	for _, folder := range []string{"planted-before", "planted-older", "planted-newer"} {
		l.Write(folder+"/airlines.csv", airlines)
	}
	l.Write("planted-broken/airlines.csv", []byte("carrier,name\nUA,\"United\n"))
	const pipeline = `pipeline: airlines
parameters: {landing: {type: string, default: planted-default}}
schedule: {every: 1h, paused: true}
tables:
  gold.airlines:
    source: {files: "${landing}/*.csv", format: csv}
    write: replace
`
	l.Write("pipelines/airlines.yaml", []byte(pipeline))
	keys := map[string]string{}
	for _, name := range []string{"older", "newer"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		keys[name] = base64.StdEncoding.EncodeToString(key)
		l.Write(name+".key", []byte(keys[name]+"\n"))
	}
	run := func(id, landing string) lab.Output {
		return l.Trigger("run", "airlines", "--id", id, "-p", "landing="+landing)
	}

	w := l.StartWorker()
	require.Zero(t, run("before", "planted-before").Code)
	before := historyOf(t, w, "before")
	require.Contains(t, string(before.raw), "planted-before", "without encryption it is there to be read")
	require.Empty(t, before.keys)
	l.Must("apply", "--yes")
	w.Terminate()

	l.Write("varve.yaml", []byte("environments: {local: {temporal: {encryption: {key: older, keys: {older: {file: older.key}}}}}}\n"))
	l.Write("pipelines/airlines.yaml", []byte(pipeline+"description: planted-description\n"))
	w = l.StartWorker("--log-level", "debug")
	out := run("older", "planted-older")
	require.Zero(t, out.Code, out.Stderr)
	require.Contains(t, out.Stdout, "1 built")
	out = run("failed", "planted-broken")
	require.NotZero(t, out.Code)
	require.Contains(t, out.Stdout+out.Stderr, "planted-broken", "who has the key reads what went wrong")
	for _, id := range []string{"older", "failed"} {
		h := historyOf(t, w, id)
		require.NotContains(t, string(h.raw), "planted", id)
		require.Equal(t, []string{"older"}, h.keys, id)
	}
	require.Contains(t, l.Must("status"), "1 table built", "memos are decrypted")
	out = l.Trigger("apply", "--check")
	require.Equal(t, 5, out.Code)
	require.Contains(t, out.Stdout, "encryption: + older")
	l.Must("apply", "--yes")
	require.Equal(t, "The schedules match the files.\n", l.Must("apply", "--check"))
	w.Terminate()
	kept := database(t, l)
	require.Contains(t, kept, "planted-before")
	require.NotContains(t, kept, "planted-older")
	require.NotContains(t, kept, "planted-broken")
	require.NotContains(t, kept, "planted-description", "a schedule's note is not encrypted, so there is none")
	for _, told := range []string{kept, w.Log(), out.Stdout + out.Stderr} {
		require.NotContains(t, told, keys["older"])
	}

	l.Write("varve.yaml", []byte("environments: {local: {temporal: {encryption: {key: newer, keys: {newer: {file: newer.key}, older: {file: older.key}}}}}}\n"))
	w = l.StartWorker("--ui-port", "0")
	for _, id := range []string{"before", "older"} {
		require.Equal(t, "built", stateOf(t, l, id), "after the rotation %s is still readable", id)
	}
	require.Zero(t, run("newer", "planted-newer").Code)
	require.Equal(t, []string{"newer"}, historyOf(t, w, "newer").keys)
	require.Contains(t, l.Trigger("apply", "--check").Stdout, "encryption: - older")
	l.Must("apply", "--yes")
	checkCodecServer(t, w, historyOf(t, w, "older").payloads)
	w.Terminate()

	l.Write("varve.yaml", []byte("environments: {local: {temporal: {encryption: {key: newer, keys: {newer: {file: newer.key}}}}}}\n"))
	l.StartWorker()
	require.Equal(t, "built", stateOf(t, l, "newer"))
	out = l.Trigger("status", "older")
	require.NotZero(t, out.Code)
	require.Contains(t, out.Stderr, `a payload is encrypted with the key "older": unknown encryption key: the keys are "newer"`)
	require.Contains(t, l.Must("status"), `encrypted with the key "older"`, "the list is shown, and what can't be read says why")
	require.Equal(t, "The schedules match the files.\n", l.Must("apply", "--check"), "no schedule needs the old key")
}

// kept is what the server has of a run: the histories of its workflow and children.
type kept struct {
	raw      []byte
	keys     []string // the ids of keys, each once
	payloads []*commonpb.Payload
}

// historyOf reads a run's histories as the server has them.
func historyOf(t *testing.T, w *lab.Worker, id string) (out kept) {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: w.Address()})
	require.NoError(t, err)
	defer c.Close()
	for ids := []string{id}; len(ids) > 0; ids = ids[1:] {
		events := c.GetWorkflowHistory(context.Background(), ids[0], "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			require.NoError(t, err)
			raw, err := proto.Marshal(e)
			require.NoError(t, err)
			out.raw = append(out.raw, raw...)
			if child := e.GetChildWorkflowExecutionStartedEventAttributes(); child != nil {
				ids = append(ids, child.GetWorkflowExecution().GetWorkflowId())
			}
			out.payloads = append(out.payloads, inputsOf(e)...)
		}
	}
	for _, name := range []string{"older", "newer"} {
		if bytes.Contains(out.raw, append([]byte("encryption-key-id\x12\x05"), name...)) {
			out.keys = append(out.keys, name)
		}
	}
	return out
}

func inputsOf(e *historypb.HistoryEvent) []*commonpb.Payload {
	return append(e.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads(),
		e.GetWorkflowExecutionCompletedEventAttributes().GetResult().GetPayloads()...)
}

func stateOf(t *testing.T, l *lab.Lab, id string) string {
	t.Helper()
	var status struct{ Tables []struct{ State string } }
	require.NoError(t, json.Unmarshal([]byte(l.Must("status", id, "--json")), &status))
	require.Len(t, status.Tables, 1)
	return status.Tables[0].State
}

// database is all that the embedded server's files hold.
func database(t *testing.T, l *lab.Lab) string {
	t.Helper()
	files, err := filepath.Glob(l.Path(".varve", "temporal.db*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var out strings.Builder
	for _, f := range files {
		content, err := os.ReadFile(f)
		require.NoError(t, err)
		out.Write(content)
	}
	return out.String()
}

// checkCodecServer asks as a page of the UI would, at the address that the UI's settings tell it.
func checkCodecServer(t *testing.T, w *lab.Worker, encrypted []*commonpb.Payload) {
	t.Helper()
	ui := regexp.MustCompile(`ui=(http://\S+)`).FindStringSubmatch(w.Log())
	require.NotNil(t, ui, w.Log())
	response, err := http.Get(ui[1] + "/api/v1/settings")
	require.NoError(t, err)
	defer response.Body.Close()
	var settings struct{ Codec struct{ Endpoint string } }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&settings))
	require.NotEmpty(t, settings.Codec.Endpoint)
	require.NotEmpty(t, encrypted)
	plain, err := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: settings.Codec.Endpoint, ModifyRequest: func(r *http.Request) error {
		r.Header.Set("Origin", ui[1])
		return nil
	}}).Decode(encrypted)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(plain), "planted-older")
}
