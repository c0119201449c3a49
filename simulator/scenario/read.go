package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the longest scenario, in bytes.
const MaxFile = 256 << 10

// ErrInvalid: the file is no scenario that could be carried out.
var ErrInvalid = errors.New("not a scenario that can be run")

// Load reads the file at path. Images are looked for beside it.
func Load(path string) (*Scenario, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > MaxFile {
		err = fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), MaxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return Parse(b, filepath.Base(path), filepath.Dir(path))
}

// Parse reads a scenario. name is what errors call it; dir is the folder from which paths in it are seen.
func Parse(b []byte, name, dir string) (*Scenario, error) {
	s := &Scenario{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	err := d.Decode(s)
	if err == nil && !errors.Is(d.Decode(&yaml.Node{}), io.EOF) {
		err = errors.New("there is a second document behind ---: one file is one scenario")
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s", ErrInvalid, name, plain(err))
	}
	lines, err := linesOf(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	for i, r := range s.Releases {
		if r.Image != "" && !filepath.IsAbs(r.Image) {
			s.Releases[i].Image = filepath.Join(dir, r.Image)
		}
	}
	s.fill()
	if problems := check(s, lines); len(problems) > 0 {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, name, errors.Join(problems...))
	}
	return s, nil
}

// ParseEvent reads one event of a scenario that runs, such as {fault: {share: 10%, disk_full: true}}. It happens at once.
func (s *Scenario) ParseEvent(b []byte) (Event, error) {
	var e Event
	if len(b) > MaxFile {
		return e, fmt.Errorf("%w: %d bytes are more than %d", ErrInvalid, len(b), MaxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("%w: event: %s", ErrInvalid, plain(err))
	}
	l, err := linesOf(b)
	if err != nil {
		return e, fmt.Errorf("%w: event: %w", ErrInvalid, err)
	}
	c := &checker{s: s, lines: l}
	e.At = 0
	if c.event("event", e); len(c.problems) > 0 {
		return e, fmt.Errorf("%w: %w", ErrInvalid, errors.Join(c.problems...))
	}
	return e, nil
}

// plain puts the library's words into ours: without the names of our types.
func plain(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n")
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if at, field, found := strings.Cut(line, ": field "); found {
			field, _, _ = strings.Cut(field, " ")
			line = fmt.Sprintf("%s: %q is not known here: see fairlead-sim show --keys", at, field)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// lines say where things stand: "events.2" and "events.2.at" are the third event and its time.
type lines map[string]int

func linesOf(b []byte) (lines, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, err
	}
	l := lines{}
	if len(root.Content) > 0 {
		l.walk("", root.Content[0])
	}
	return l, nil
}

func (l lines) walk(path string, n *yaml.Node) {
	l[path] = n.Line
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			l.walk(join(path, n.Content[i].Value), n.Content[i+1])
			l[join(path, n.Content[i].Value)] = n.Content[i].Line
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			l.walk(join(path, fmt.Sprint(i)), item)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// of is the line of the nearest thing that is there.
func (l lines) of(path string) int {
	for path != "" {
		if n, found := l[path]; found {
			return n
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return 1
}
