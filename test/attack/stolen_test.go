package attack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

type event = wire.Event

func writeFile(path string, b []byte) error { return os.WriteFile(path, b, 0o600) }

// thefts are the keys that are stolen. The root wants two of three, targets, product and the director's root two of two. Every
// thief has the network and the mirror as well.
var thefts = []struct {
	name string
	has  map[string]int
}{
	{"nothing but the network and the mirror", nil},
	{"the timestamp key", map[string]int{metadata.TIMESTAMP: 1}},
	{"the snapshot key", map[string]int{metadata.SNAPSHOT: 1}},
	{"timestamp and snapshot keys", map[string]int{metadata.TIMESTAMP: 1, metadata.SNAPSHOT: 1}},
	{"one targets key of two, timestamp, snapshot", with(map[string]int{metadata.TARGETS: 1}, metadata.TIMESTAMP, metadata.SNAPSHOT)},
	{"both targets keys", map[string]int{metadata.TARGETS: 2}},
	{"one product key of two, timestamp, snapshot, director", with(map[string]int{product: 1}, metadata.TIMESTAMP, metadata.SNAPSHOT, online, logKey)},
	{"both product keys", map[string]int{product: 2}},
	{"one root key of the two that it takes, timestamp, snapshot", with(map[string]int{metadata.ROOT: 1}, metadata.TIMESTAMP, metadata.SNAPSHOT)},
	{"two root keys", map[string]int{metadata.ROOT: 2}},
	{"the director's online key", map[string]int{online: 1}},
	{"one key of the director's root of two", map[string]int{directorRoot: 1}},
	{"both keys of the director's root", map[string]int{directorRoot: 2}},
	{"the log's key", map[string]int{logKey: 1}},
	{"both witnesses' keys", map[string]int{witnesses: 2}},
	{"product, timestamp, snapshot, director", with(map[string]int{product: 2}, metadata.TIMESTAMP, metadata.SNAPSHOT, online)},
	{"these and the log's key", with(map[string]int{product: 2}, metadata.TIMESTAMP, metadata.SNAPSHOT, online, logKey)},
	{"these and both witnesses' keys", with(map[string]int{product: 2, witnesses: 2}, metadata.TIMESTAMP, metadata.SNAPSHOT, online, logKey)},
	{"two root keys and the director's online key", map[string]int{metadata.ROOT: 2, online: 1}},
}

func with(has map[string]int, one ...string) map[string]int {
	for _, k := range one {
		has[k] = 1
	}
	return has
}

// page is where people read what thieves can do.
const page = "../../docs/threat-model.md"

// TestStolenKeys steals keys, tries each deed, and compares what came of it with the table in the documentation: some thefts in
// make test, all in make test-long. There FAIRLEAD_WRITE_TABLE=1 writes the table.
func TestStolenKeys(t *testing.T) {
	rows := make([]string, len(thefts))
	t.Run("thefts", func(t *testing.T) {
		for i, theft := range thefts {
			if i%oneTheftIn != 0 {
				continue
			}
			t.Run(theft.name, func(t *testing.T) {
				t.Parallel()
				w := newTown(t)
				rows[i] = "| " + theft.name + " |"
				for _, d := range deeds {
					rows[i] += map[bool]string{true: " **yes** |", false: " no |"}[d.try(w.rob(theft.has))]
				}
			})
		}
	})
	b, err := os.ReadFile(page)
	must(t, err)
	before, rest, _ := strings.Cut(string(b), tableBegins)
	old, after, there := strings.Cut(rest, tableEnds)
	if !there {
		t.Fatalf("%s has no place for the table", page)
	}
	said := strings.Split(old, "\n")
	table, tried := heading(), 0
	for i, row := range rows {
		if row != "" {
			tried++
		} else if i+2 < len(said) { // below the heading: one that was not tried
			row = said[i+2]
		}
		table += row + "\n"
	}
	t.Logf("stolen keys: %d of %d kinds of theft × %d deeds\n%s", tried, len(thefts), len(deeds), table)
	if write, _ := strconv.ParseBool(os.Getenv("FAIRLEAD_WRITE_TABLE")); write && oneTheftIn == 1 {
		must(t, os.WriteFile(page, []byte(before+tableBegins+table+tableEnds+after), 0o644))
	} else if old != table || tried == 0 {
		t.Errorf("%s says\n%s\nand so it is:\n%s", page, old, table)
	}
}

const (
	tableBegins = "<!-- made by TestStolenKeys -->\n"
	tableEnds   = "<!-- end -->\n"
)

func heading() string {
	names, line := "| thief of |", "|---|"
	for _, d := range deeds {
		names += " " + d.name + " |"
		line += "---|"
	}
	return names + "\n" + line + "\n"
}

// memory is a repository as it was saved, with the files of one that is there.
func memory(saved map[string]map[int64][]byte, files *tuftest.Repo) client.Source {
	return past{saved, files}
}

type past struct {
	saved map[string]map[int64][]byte
	files *tuftest.Repo
}

func (p past) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	rest, is := strings.CutPrefix(name, "metadata/")
	if !is {
		return p.files.Open(ctx, name, offset, length)
	}
	rest = strings.TrimSuffix(rest, ".json")
	number, role, _ := strings.Cut(rest, ".")
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		role, v = rest, int64(len(p.saved[rest]))
	}
	b := p.saved[role][v]
	if b == nil {
		return nil, fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
