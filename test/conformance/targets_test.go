package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// The scenarios of test_file_download.py.

func TestClientDownloadsExpectedFile(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.AddTarget("targets", "target_file.txt", []byte("target file contents"))
	s.publishAll()
	s.refresh(0)
	s.has()
	s.download(0, "target_file.txt")
	s.has("target file contents")
}

func TestClientDownloadsExpectedFileInSubDir(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.AddTarget("targets", "path/to/a/target_file.txt", []byte("target file contents"))
	s.publishAll()
	s.download(0, "path/to/a/target_file.txt")
	s.has("target file contents")
}

// replace serves other bytes for a target, under all its names.
func (s *suite) replace(name, content string) {
	s.repo.Hook(func(asked string) *tuftest.Response {
		if strings.HasPrefix(asked, "targets/") && strings.HasSuffix(asked, name) {
			return &tuftest.Response{Status: 200, Body: []byte(content)}
		}
		return nil
	})
}

func TestRepositorySubstitutesTargetFile(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.AddTarget("targets", "target_file.txt", []byte("target file contents"))
	s.repo.AddTarget("targets", "another_target_file.txt", []byte("content"))
	s.publishAll()
	s.download(0, "target_file.txt")
	s.has("target file contents")
	s.replace("target_file.txt", "malicious data - should not download")
	s.download(0, "target_file.txt")
	s.has("target file contents")
	s.download(1, "another_target_file.txt")
	s.has("target file contents")
}

func TestMultipleChangesToTarget(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.AddTarget("targets", "target_file.txt", []byte("target file contents"))
	s.publishAll()
	s.download(0, "target_file.txt")
	had := []string{"target file contents"}
	for i := range 11 {
		modified, fresh, name := fmt.Sprintf("modified file contents %d", i), fmt.Sprintf("new file contents %d", i), fmt.Sprintf("new-target-%d", i)
		s.repo.AddTarget("targets", "target_file.txt", []byte(modified))
		s.repo.AddTarget("targets", name, []byte(fresh))
		s.publishAll()
		if i%5 != 0 {
			continue // the client sees every fifth
		}
		s.download(0, "target_file.txt")
		had[0] = modified
		s.has(slices.Clone(had)...)
		s.download(0, name)
		had = append(had, fresh)
		s.has(slices.Clone(had)...)
		s.replace("target_file.txt", fmt.Sprintf("malicious contents %d", i))
		s.publishAll()
		s.download(0, "target_file.txt")
		s.has(slices.Clone(had)...)
		s.repo.Hook(nil)
	}
}

func TestDownloadWithHashAlgorithms(t *testing.T) {
	for _, algorithms := range [][]string{{"sha256"}, {"sha512"}, {"sha256", "sha512"}} {
		t.Run(strings.Join(algorithms, "+"), func(t *testing.T) {
			s := start(t)
			s.repo.AddTarget("targets", "target_file.txt", []byte("target file contents"), algorithms...)
			s.publishAll()
			s.init()
			s.download(0, "target_file.txt")
			s.has("target file contents")
			hash := s.repo.Targets["targets"].Signed.Targets["target_file.txt"].Hashes[algorithms[0]].String()
			if asked := s.repo.Requests(); asked[len(asked)-1] != "targets/"+hash+".target_file.txt" {
				t.Errorf("asked for %s", asked[len(asked)-1])
			}
		})
	}
}

func TestDownloadWithUnknownHashAlgorithm(t *testing.T) {
	s := start(t)
	s.repo.AddTarget("targets", "target_file.txt", []byte("target file contents"), "sha512")
	hashes := s.repo.Targets["targets"].Signed.Targets["target_file.txt"].Hashes
	hashes["unknown-hash"] = hashes["sha512"]
	delete(hashes, "sha512")
	s.publishAll()
	s.init()
	s.download(1, "target_file.txt")
	s.has()
}

func TestArtifactCache(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.AddTarget("targets", "target_file.txt", []byte("target file contents"))
	s.publishAll()
	for range 2 {
		s.download(0, "target_file.txt")
	}
	n := 0
	for _, name := range s.repo.Requests() {
		if strings.HasPrefix(name, "targets/") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the target was asked for %d times", n)
	}
}

func TestNotConsistent(t *testing.T) {
	s := start(t)
	s.repo.Root.Signed.ConsistentSnapshot = false
	s.repo.Publish("root")
	s.repo.AddTarget("targets", "dir/target_file.txt", []byte("target file contents"))
	s.publishAll()
	s.init()
	s.download(0, "dir/target_file.txt")
	asked := s.repo.Requests()
	want := "metadata/2.root.json metadata/3.root.json metadata/timestamp.json metadata/snapshot.json metadata/targets.json targets/dir/target_file.txt"
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
	s.has("target file contents")
}

// The scenarios of test_updater_delegation_graphs.py. Edges read "targets>A",
// "!" ends one that is terminating, "(*.py)" one for other paths than "*".
func (s *suite) graph(edges string) {
	s.t.Helper()
	for _, edge := range strings.Fields(edges) {
		delegator, role, _ := strings.Cut(edge, ">")
		role, pattern, restricted := strings.Cut(strings.TrimSuffix(role, ")"), "(")
		if !restricted {
			pattern = "*"
		}
		name := strings.TrimSuffix(role, "!")
		s.repo.Delegate(delegator, metadata.DelegatedRole{Name: name, Paths: strings.Split(pattern, ","), Terminating: name != role})
	}
	for role := range s.repo.Targets {
		if role != "targets" {
			s.repo.Publish(role)
		}
	}
	s.publishAll()
}

const second = "2.root timestamp 2.snapshot 2.targets"

func TestGraphTraversal(t *testing.T) {
	for name, c := range map[string]struct{ edges, visited string }{
		"basic-delegation":                                  {"targets>A", "A"},
		"single-level-delegations":                          {"targets>A targets>B", "A B"},
		"two-level-delegations":                             {"targets>A targets>B B>C", "A B C"},
		"two-level-test-DFS-order-of-traversal":             {"targets>A targets>B A>C A>D", "A C D B"},
		"three-level-test-DFS-order-of-traversal":           {"targets>A targets>B A>C C>D", "A C D B"},
		"two-level-terminating-ignores-all-but-roles-own":   {"targets>A targets>B A>C! A>D", "A C"},
		"three-level-terminating-ignores-all-but-roles-own": {"targets>A targets>B A>C! C>D", "A C D"},
		"two-level-ignores-branches-not-matching-paths":     {"targets>A(*.py) targets>B A>C", "B"},
		"three-level-ignores-branches-not-matching-paths":   {"targets>A targets>B A>C(*.py) C>D", "A B"},
		"cyclic-graph":                                    {"targets>A targets>B B>C C>D D>B", "A B C D"},
		"two-roles-delegating-to-a-third":                 {"targets>A targets>B B>C A>C", "A C B"},
		"two-roles-delegating-to-a-third-different-paths": {"targets>A targets>B B>C A>C(*.py)", "A B C"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.init()
			s.graph(c.edges)
			s.download(1, "missingpath")
			s.asks(second + " 1." + strings.ReplaceAll(c.visited, " ", " 1."))
		})
	}
}

func TestTargetfileSearch(t *testing.T) {
	for name, c := range map[string]struct{ path, visited, content string }{
		"no delegations":                                        {"targetfile", "", "targetfile content"},
		"targetpath matches wildcard":                           {"README.md", " 1.A", "README by A"},
		"targetpath with separators x":                          {"releases/x/x_v1", " 1.B 1.C", "x release by C"},
		"targetpath with separators y":                          {"releases/y/y_v1.zip", " 1.B 1.D", "y release by D"},
		"targetpath is not delegated by all roles in the chain": {"releases/z/z_v1.zip", " 1.B", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.init()
			s.repo.Delegate("targets", paths("A", "*.doc", "*.md"))
			s.repo.Delegate("targets", paths("B", "releases/*/*"))
			s.repo.Delegate("B", paths("C", "releases/x/*"))
			s.repo.Delegate("B", paths("D", "releases/y/*.zip"))
			for _, f := range [][3]string{
				{"targets", "targetfile", "targetfile content"}, {"A", "README.md", "README by A"}, {"C", "releases/x/x_v1", "x release by C"},
				{"D", "releases/y/y_v1.zip", "y release by D"}, {"D", "releases/z/z_v1.zip", "z release by D"},
			} {
				s.repo.AddTarget(f[0], f[1], []byte(f[2]))
			}
			s.graph("")
			if c.content == "" {
				s.download(1, c.path)
				s.has()
			} else {
				s.download(0, c.path)
				s.has(c.content)
			}
			s.asks(second + c.visited)
		})
	}
}

// TestMaxDelegations: thirty-two delegated roles are asked, and no more.
func TestMaxDelegations(t *testing.T) {
	for last, code := range map[int]int{32: 0, 33: 1} {
		s := start(t)
		s.init()
		delegator := "targets"
		for i := 1; i <= last; i++ {
			role := fmt.Sprintf("role%d", i)
			s.repo.Delegate(delegator, paths(role, "*"))
			delegator = role
		}
		s.repo.AddTarget(delegator, "file", []byte("deep"))
		s.graph("")
		s.download(code, "file")
	}
}

func TestCachedRoleIsVerifiedAgainstCurrentDelegator(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Delegate("targets", paths("A", "a/*"))
	s.repo.Delegate("targets", paths("B", "b/*"))
	s.repo.Delegate("A", paths("C", "a/*"))
	s.repo.Delegate("B", paths("C", "b/*"))
	s.repo.Keys["C"] = s.repo.Keys["C"][:1]
	s.repo.AddTarget("C", "a/file", []byte("through A"))
	s.repo.AddTarget("C", "b/file", []byte("through B"))
	s.graph("")
	s.download(1, "a/file", "b/file")
	s.has("through A")
	s.download(1, "b/file")
	s.has("through A")
}

func TestDelegationNotInSnapshot(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Delegate("targets", paths("A", "*"))
	s.repo.Publish("A")
	delete(s.repo.Snapshot.Signed.Meta, "A.json")
	s.publishAll()
	s.download(1, "file")
	s.asks(second)
}
