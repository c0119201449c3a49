package install

import (
	"context"
	"io"
	"iter"
)

// Bounds of what is asked for ahead of its turn.
const (
	maxRequests = 3 // under way at once, the one that is being read included
	maxQueue    = 6 // with those that have come whole

	maxEarly = 512 << 10 // bytes of each that are read before its turn

	maxParts = 100 // of one request
	partCost = 192 // bytes that the answer says about each, about
)

// PartSource is a Source that can be asked for several parts of a file at once. What it gives is their bytes, one after the
// other. If its server cannot, OpenRanges fails, and parts are asked for one by one.
type PartSource interface {
	Source
	OpenRanges(ctx context.Context, name string, parts iter.Seq2[int64, int64]) (io.ReadCloser, error)
}

// stream reads many parts of one file, in their order. One request gets as many of them as lie together, or as the source
// can give at once, and what comes faster than it is taken waits in the sockets of the system. Before the end of a request
// the next one goes out, and its beginning is read meanwhile, so that the line does not fall silent in between.
type stream struct {
	*run
	c       *carrier
	wanted  []Extent   // of the file
	planned int        // how many of them the requests cover
	queue   []*request // the one that is being read, then those that are under way
}

// read fills p with the bytes of the file from offset on, which belong to wanted[i]. What was read before an error need
// not be read again.
func (s *stream) read(ctx context.Context, i int, offset int64, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		q := s.seek(ctx, i, offset+int64(n))
		var m int
		if err = s.skip(ctx, q, offset+int64(n)); err == nil {
			m, err = q.read(ctx, s.run, p[n:])
		}
		n, q.broken = n+m, err != nil
		s.ahead(ctx)
	}
	return n, err
}

// seek returns a request that stands at offset, or a little before it.
func (s *stream) seek(ctx context.Context, i int, offset int64) *request {
	for len(s.queue) > 0 && !s.queue[0].holds(offset) {
		s.queue[0].close()
		s.queue = s.queue[1:]
	}
	if len(s.queue) == 0 {
		s.ask(ctx, i, offset)
	}
	if q := s.queue[0]; q.broken && len(q.parts) > 1 && q.left.Load() == ranges(q.parts).total() {
		s.close() // nothing came: perhaps the source cannot give several parts
		s.many = nil
		s.ask(ctx, i, offset)
	} else if q.broken {
		q.close()
		s.queue[0] = s.open(ctx, s.c.name(), q.parts, 0)
	}
	return s.queue[0]
}

// holds says whether the next byte of q is the one at offset, or lies a little before it.
func (q *request) holds(offset int64) bool {
	return !q.done() && q.at() <= offset && offset < q.parts[0].end() && offset-q.at() <= maxGap
}

// skip reads over what lies in a gap.
func (s *stream) skip(ctx context.Context, q *request, offset int64) error {
	if q.at() == offset {
		return nil
	}
	unwanted := make([]byte, min(offset-q.at(), 16<<10))
	for q.at() < offset {
		if _, err := q.read(ctx, s.run, unwanted[:min(offset-q.at(), int64(len(unwanted)))]); err != nil {
			return err
		}
	}
	return nil
}

// ask makes a request that begins at offset in wanted[i] and goes on as long as what follows lies near.
func (s *stream) ask(ctx context.Context, i int, offset int64) {
	var parts []Extent
	s.planned, parts = s.reach(i, offset)
	early := int64(0)
	if len(s.queue) > 0 {
		early = min(s.line.ahead(), maxEarly)
	}
	s.queue = append(s.queue, s.open(ctx, s.c.name(), parts, early))
}

// reach says what a request gets that begins at offset in wanted[i], and what is wanted after it.
func (s *stream) reach(i int, offset int64) (next int, parts []Extent) {
	parts = []Extent{{offset, s.wanted[i].end() - offset}}
	gap, most := s.line.gap(), 1
	if s.many != nil {
		gap, most = partCost, maxParts
	}
	for i++; i < len(s.wanted); i++ {
		w, last := s.wanted[i], &parts[len(parts)-1]
		between := w.Offset - last.end()
		if between > 0 && (w.end()-offset > mendable && s.many == nil || between > gap && len(parts) == most) || w.end()-offset > s.Limits.Request {
			break
		}
		if between <= gap {
			last.Length = w.end() - last.Offset
			continue
		}
		parts = append(parts, w)
	}
	return i, parts
}

// ahead makes the next request when little is left of those under way.
func (s *stream) ahead(ctx context.Context) {
	if len(s.queue) > 0 && s.queue[0].broken {
		return // first that one
	}
	coming, left := 0, int64(0)
	for _, q := range s.queue {
		if n := q.left.Load(); n > 0 {
			coming, left = coming+1, left+n
		}
	}
	for s.planned < len(s.wanted) && coming < maxRequests && len(s.queue) < maxQueue && left < s.line.ahead() {
		s.ask(ctx, s.planned, s.wanted[s.planned].Offset)
		coming, left = coming+1, left+s.queue[len(s.queue)-1].left.Load()
	}
}

// adopt takes over a request that was begun before it was known what is wanted, as far as it is of use.
func (s *stream) adopt(ctx context.Context, q *request) {
	if q == nil {
		return
	}
	if next, parts := s.useful(q); len(parts) > 0 {
		context.AfterFunc(ctx, q.cancel)
		end := parts[0].end()
		q.cut, q.parts[0].Length = end < q.to(), end-q.at()
		s.planned, s.queue = next, []*request{q}
		return
	}
	q.close()
}

// useful is what a request would get in place of q; nothing if q is not as good.
func (s *stream) useful(q *request) (next int, parts []Extent) {
	if len(s.wanted) == 0 || q.done() {
		return 0, nil
	}
	from := s.wanted[0].Offset
	next, parts = s.reach(0, from)
	if len(parts) > 1 || q.at() > from || q.to() < parts[0].end() || from-q.at() > s.line.gap() {
		return 0, nil
	}
	return next, parts
}

// close ends all requests.
func (s *stream) close() {
	for _, q := range s.queue {
		q.close()
	}
	s.queue = nil
}
