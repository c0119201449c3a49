package install

import "context"

// Bounds of what is asked for ahead of its turn.
const (
	maxRequests = 3 // under way at once, the one that is being read included
	maxQueue    = 6 // with those that have come whole

	maxEarly = 512 << 10 // bytes of each that are read before its turn
)

// stream reads the stored bytes of many frames of one file, in their order. One request gets as many of them as lie
// together, and what comes faster than it is taken waits in the sockets of the system. Before the end of a request the
// next one goes out, and its beginning is read meanwhile, so that the line does not fall silent in between.
type stream struct {
	*run
	c       *carrier
	wanted  []int      // frames, in their order
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
	for len(s.queue) > 0 && (s.queue[0].to <= offset || offset < s.queue[0].at || offset-s.queue[0].at > maxGap) {
		s.queue[0].close()
		s.queue = s.queue[1:]
	}
	if len(s.queue) == 0 {
		s.ask(ctx, i, offset)
	}
	if q := s.queue[0]; q.broken {
		q.close()
		s.queue[0] = s.open(ctx, s.c.name(), offset, q.to, 0)
	}
	return s.queue[0]
}

// skip reads over what lies in a gap.
func (s *stream) skip(ctx context.Context, q *request, offset int64) error {
	if q.at == offset {
		return nil
	}
	unwanted := make([]byte, min(offset-q.at, 16<<10))
	for q.at < offset {
		if _, err := q.read(ctx, s.run, unwanted[:min(offset-q.at, int64(len(unwanted)))]); err != nil {
			return err
		}
	}
	return nil
}

// ask makes a request that begins at offset in wanted[i] and goes on as long as what follows lies near.
func (s *stream) ask(ctx context.Context, i int, offset int64) {
	var end int64
	s.planned, end = s.reach(i, offset)
	early := int64(0)
	if len(s.queue) > 0 {
		early = min(s.line.ahead(), maxEarly)
	}
	s.queue = append(s.queue, s.open(ctx, s.c.name(), offset, end, early))
}

// reach says how far a request can go that begins at offset in wanted[i].
func (s *stream) reach(i int, offset int64) (next int, end int64) {
	_, end = s.place(i)
	for i++; i < len(s.wanted); i++ {
		from, to := s.place(i)
		gap := from - end
		if gap > s.line.gap() || gap > 0 && to-offset > mendable || to-offset > s.Limits.Request {
			break
		}
		end = to
	}
	return i, end
}

// ahead makes the next request when little is left of those under way.
func (s *stream) ahead(ctx context.Context) {
	if len(s.queue) > 0 && s.queue[0].broken {
		return // first that one
	}
	coming, left := 0, int64(0)
	for _, q := range s.queue {
		if n := q.to - q.came.Load(); n > 0 {
			coming, left = coming+1, left+n
		}
	}
	for s.planned < len(s.wanted) && coming < maxRequests && len(s.queue) < maxQueue && left < s.line.ahead() {
		from, _ := s.place(s.planned)
		s.ask(ctx, s.planned, from)
		coming, left = coming+1, left+s.queue[len(s.queue)-1].to-from
	}
}

// adopt takes over a request that was begun before it was known what is wanted, as far as it is of use.
func (s *stream) adopt(ctx context.Context, q *request) {
	if q == nil {
		return
	}
	var from, end int64
	if len(s.wanted) > 0 {
		from, _ = s.place(0)
		s.planned, end = s.reach(0, from)
	}
	if end == 0 || q.at > from || q.to < end || from-q.at > s.line.gap() {
		s.planned = 0
		q.close()
		return
	}
	context.AfterFunc(ctx, q.cancel)
	q.cut, q.to = end < q.to, end
	s.queue = []*request{q}
}

// close ends all requests.
func (s *stream) close() {
	for _, q := range s.queue {
		q.close()
	}
	s.queue = nil
}

// place is where the stored bytes of wanted[i] lie in the file.
func (s *stream) place(i int) (from, to int64) {
	f := s.c.head.Frame(s.wanted[i])
	return f.Offset, f.Offset + f.Stored
}
