package fleet

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// filesPerUnit is how many descriptors a unit holds while it updates: its lock, two connections, and files now and then.
const filesPerUnit = 5

// spare is for the rest of the process.
const spare = 200

// CheckFiles raises this process's limit of open files to what so many units need, or says what to do where it cannot.
func CheckFiles(units int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("asking how many files may be open: %w", err)
	}
	need := uint64(units*filesPerUnit + spare)
	if limit.Cur >= need {
		return nil
	}
	want := unix.Rlimit{Cur: need, Max: max(limit.Max, need)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		return fmt.Errorf("%d units need %d open files and this process may have %d: run `ulimit -n %d` first, as root, or take %d units",
			units, need, limit.Max, need, (limit.Max-min(spare, limit.Max))/filesPerUnit)
	}
	return nil
}
