package virtual

import (
	cryptorand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"
)

// customRand has package crypto take the randomness that it is given, as it did before Go 1.26.
const customRand = "cryptocustomrand=1"

// seedDice has everything random of this process come from a seed: keys and certificates, too, as their signatures do not all have the
// same length. It is for a child, and for nobody else: keys that are made so are no secret.
func seedDice(seed uint64) {
	cryptorand.Reader = newDice(seed, "keys")
	uuid.SetRand(newDice(seed, "names of devices")) // apart, as a key takes as much as it takes
}

// dice are for several goroutines.
type dice struct {
	mu   sync.Mutex
	from *rand.ChaCha8
}

func newDice(seed uint64, what string) *dice {
	var full [32]byte
	copy(full[:], fmt.Sprintf("%d %s", seed, what))
	return &dice{from: rand.NewChaCha8(full)}
}

// Read implements io.Reader. A single byte is always 0 and costs nothing: package crypto takes one or not, by chance, so that nobody
// relies on its order.
func (d *dice) Read(p []byte) (int, error) {
	if len(p) == 1 {
		p[0] = 0
		return 1, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.from.Read(p)
}
