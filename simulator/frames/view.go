package frames

import "io"

// View is what a slot held when the view was opened, to be read. It is good until the store is closed.
type View struct {
	store *Store
	holds Content
	size  int64
}

// OpenView opens a view of the slot at path, of so many bytes.
func (s *Store) OpenView(path string, size int64) (*View, error) {
	holds, err := s.load(path)
	if err != nil {
		return nil, err
	}
	return &View{s, holds, size}, nil
}

// ReadAt is io.ReaderAt.
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	short := int64(len(p)) > v.size-off
	if short {
		p = p[:max(v.size-off, 0)]
	}
	err := pieces(int64(len(p)), off, func(block int, at, from, to int64) error {
		return v.store.read(v.holds.at(block), p[from:to], at)
	})
	if err == nil && short {
		err = io.EOF
	}
	return len(p), err
}

// Lend is bytes of the slot from off on, n or fewer, and none behind its end. They are the store's own: nobody may write to them, and
// they stay as they are until the store is closed. Two views of the same block lend the same memory.
func (v *View) Lend(off int64, n int) []byte {
	return v.store.lendOf(v.holds, off, n, v.size)
}

// Close is io.Closer.
func (v *View) Close() error { return nil }
