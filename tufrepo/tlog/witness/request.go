package witness

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/firmware"
)

// ParseRequest reads what Encode prints, and nothing else. The checkpoint is
// not looked at.
func ParseRequest(raw []byte) (Request, error) {
	head, checkpoint, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		return Request{}, errors.New("want an old size, a proof, an empty line and a checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	old, err := strconv.ParseUint(strings.TrimPrefix(lines[0], "old "), 10, 63)
	if err != nil {
		return Request{}, errors.New("the first line is not \"old SIZE\"")
	}
	if len(lines) > 1+63 {
		return Request{}, errors.New("more than 63 hashes")
	}
	r := Request{Old: old, Checkpoint: checkpoint}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(h) != len(firmware.Digest{}) {
			return Request{}, fmt.Errorf("%.60q is not a hash", line)
		}
		r.Proof = append(r.Proof, firmware.Digest(h))
	}
	if !bytes.Equal(r.Encode(), raw) {
		return Request{}, errors.New("the request is not in its one form")
	}
	return r, nil
}
