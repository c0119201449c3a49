package mirror

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/fairlead/fairlead/tufrepo"
)

var errRotten = errors.New("the file is damaged or was changed: publish its bundle again")

// checked reads a file and withholds its last bytes unless the whole is what it must be.
type checked struct {
	r    io.Reader
	want tufrepo.Served
	sum  hash.Hash
	left int64
	tell func(n int)
}

func newChecked(r io.Reader, want tufrepo.Served, tell func(n int)) *checked {
	return &checked{r: r, want: want, sum: sha256.New(), left: want.Length, tell: tell}
}

func (c *checked) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	c.sum.Write(b[:n])
	c.left -= int64(n)
	c.tell(n)
	switch {
	case c.left == 0 && string(c.sum.Sum(nil)) != string(c.want.SHA256[:]), err == io.EOF && c.left > 0:
		return 0, fmt.Errorf("%s in the folder: %w", c.want.Name, errRotten)
	case c.left == 0 || err == io.EOF:
		return n, nil
	}
	return n, err
}
