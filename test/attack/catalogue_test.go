package attack

import (
	"bufio"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sections are the letters of the catalogue, each with how many entries it has.
var sections = map[string]int{
	"A": 20, "B": 13, "C": 16, "D": 6, "E": 16, "F": 11, "G": 10, "H": 8, "I": 6, "J": 12,
	"T": 15, "U": 16, "K": 26, "S": 8, "O": 17, "N": 8,
}

// entry is one fault or attack.
type entry struct {
	id, what string
	shown    []shown
	notOurs  string
}

// shown is a test that shows it.
type shown struct{ pkg, test, sub string }

// TestCatalogueIsWhole: each entry is there once, and each has a test that is there.
func TestCatalogueIsWhole(t *testing.T) {
	entries := catalogue(t)
	counted, tests, apart := map[string]int{}, map[shown]bool{}, 0
	known := map[string]map[string]*ast.File{}
	for _, e := range entries {
		letter := e.id[:1]
		counted[letter]++
		if e.id != fmt.Sprint(letter, counted[letter]) {
			t.Errorf("%s stands where %s%d belongs", e.id, letter, counted[letter])
		}
		if len(e.shown) == 0 {
			t.Errorf("%s, %s: no test shows it", e.id, e.what)
		}
		if e.notOurs != "" {
			apart++
		}
		for _, s := range e.shown {
			tests[shown{s.pkg, s.test, ""}] = true
			if err := look(known, s); err != nil {
				t.Errorf("%s: %v", e.id, err)
			}
		}
	}
	for letter, want := range sections {
		if counted[letter] != want {
			t.Errorf("section %s has %d entries, want %d", letter, counted[letter], want)
		}
	}
	t.Logf("catalogue: %d entries, 100%% with a named test, %d tests; %d entries of what is not there by design", len(entries), len(tests), apart)
}

// catalogue reads catalogue.txt.
func catalogue(t *testing.T) (entries []entry) {
	t.Helper()
	f, err := os.Open("catalogue.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		below, indented := strings.CutPrefix(line, "\t")
		last := len(entries) - 1
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !indented:
			id, what, _ := strings.Cut(line, " ")
			entries = append(entries, entry{id: id, what: what})
		case strings.HasPrefix(below, "not ours: "):
			entries[last].notOurs = below
		default:
			pkg, test, _ := strings.Cut(below, " ")
			test, sub, _ := strings.Cut(test, "/")
			entries[last].shown = append(entries[last].shown, shown{pkg, test, sub})
		}
	}
	return entries
}

// look finds a test in the tree, and the words of a subtest in it.
func look(known map[string]map[string]*ast.File, s shown) error {
	if known[s.pkg] == nil {
		files, err := parseTests(s.pkg)
		if err != nil {
			return err
		}
		known[s.pkg] = files
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(known[s.pkg])), func(f *ast.File) bool {
		o := f.Scope.Lookup(s.test)
		return o != nil && o.Kind == ast.Fun
	}) {
		return fmt.Errorf("%s has no %s", s.pkg, s.test)
	}
	if s.sub != "" && !says(known[s.pkg], s) {
		return fmt.Errorf("%s: %s has no case %q", s.pkg, s.test, s.sub)
	}
	return nil
}

func parseTests(pkg string) (map[string]*ast.File, error) {
	paths, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil || len(paths) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no tests in %s", pkg))
	}
	files := map[string]*ast.File{}
	for _, path := range paths {
		if files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, 0); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// says finds the words of a subtest: in the test itself, or in what stands beside the tests of its package.
func says(files map[string]*ast.File, s shown) (found bool) {
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name != s.test && strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, err := strconv.Unquote(lit.Value)
					found = found || err == nil && text == s.sub
				}
				return !found
			})
		}
	}
	return found
}
