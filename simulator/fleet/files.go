package fleet

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// filesPerUnit is how many descriptors a unit holds while it updates: its locks, two connections, and files now and then.
const filesPerUnit = 5

// spare is for the rest of the process, and for files that are open for a moment.
const spare = 200

// mostPiped is how many descriptors a fleet needs whose connections and locks take none: files that are open for a moment, in as
// many threads as there may be.
const mostPiped = 4000

// CheckFiles raises this process's limit of open files to what so many units need, or says what to do where it cannot. piped is a
// fleet whose connections stay in this process.
func CheckFiles(units int, piped bool) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("asking how many files may be open: %w", err)
	}
	need := uint64(units*filesPerUnit + spare)
	if piped {
		need = min(need, mostPiped)
	}
	if limit.Cur >= need {
		return nil
	}
	want := unix.Rlimit{Cur: need, Max: max(limit.Max, need)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		return fmt.Errorf("%d units need %d open files and this process may have %d: run `ulimit -n %d` first, as root, or take %d units, or `over: pipe`",
			units, need, limit.Max, need, (limit.Max-min(spare, limit.Max))/filesPerUnit)
	}
	return nil
}
