package director

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/kms"
)

// A key file may hold its 32 bytes encrypted by a key management service, and say by which key. The service is asked
// once, when the file is loaded; what is sealed stays as it is, whatever the file is wrapped by.
const (
	wrapBlock  = "FAIRLEAD WRAPPED KEY"
	wrapFormat = "1"
	wrapRef    = "Kms"
	wrapID     = "Id"
)

// WrapSealKey replaces a key file by the same key, encrypted by the key management service's key ref; an empty ref
// means in the clear. It asks the service to give the key back before the file is replaced, in one step: after any error the
// file is as it was. A file that is wrapped already is wrapped anew, by the newest version of the service's key.
func WrapSealKey(ctx context.Context, path, ref string) error {
	raw, err := readSealKey(ctx, path)
	if err != nil {
		return err
	}
	data := raw
	if ref != "" {
		if data, err = wrapSealKey(ctx, path, ref, raw); err != nil {
			return fmt.Errorf("key file of the service %s stays as it is: %w", path, err)
		}
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing the key file of the service: %w", err)
	}
	return nil
}

func wrapSealKey(ctx context.Context, path, ref string, raw []byte) ([]byte, error) {
	key, err := newSealKey(path, raw)
	if err != nil {
		return nil, err
	}
	wrapped, err := kms.Wrap(ctx, ref, raw)
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: wrapBlock, Bytes: wrapped,
		Headers: map[string]string{"Format": wrapFormat, wrapRef: ref, wrapID: key.ID()}})
	if data == nil || len(data) > maxSealed {
		return nil, fmt.Errorf("%s cannot be noted in a key file", ref)
	}
	again, err := unwrapSealKey(ctx, path, data)
	if err == nil && !bytes.Equal(again, raw) {
		err = errors.New("it gives back another key")
	}
	return data, err
}

// readSealKey gives the bytes of a key file's key, in the clear or not.
func readSealKey(ctx context.Context, path string) ([]byte, error) {
	raw, err := readSecret(path, maxSealed)
	if err != nil {
		return nil, fmt.Errorf("key file of the service: %w", err)
	}
	if block, _ := pem.Decode(raw); block != nil && block.Type == wrapBlock {
		return unwrapSealKey(ctx, path, raw)
	}
	if len(raw) != sealKeySize {
		return nil, fmt.Errorf("key file of the service %s has %d bytes instead of %d: name the right one with --key-file", path, len(raw), sealKeySize)
	}
	return raw, nil
}

func unwrapSealKey(ctx context.Context, path string, data []byte) ([]byte, error) {
	block, rest := pem.Decode(data)
	if len(data) > maxSealed || block == nil || block.Type != wrapBlock || len(rest) != 0 {
		return nil, fmt.Errorf("key file of the service %s is damaged: bring it back from its copy", path)
	}
	if f := block.Headers["Format"]; f != wrapFormat {
		return nil, fmt.Errorf("key file of the service %s is wrapped in format %.20q, this program knows %s: use a newer fairlead-repo", path, f, wrapFormat)
	}
	raw, err := kms.Unwrap(ctx, block.Headers[wrapRef], block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key file of the service %s is encrypted by a key management service, without which nothing can be opened, and nothing is lost: try again when it answers and allows it: %w", path, err)
	}
	if len(raw) != sealKeySize {
		return nil, fmt.Errorf("key file of the service %s: the key management service gives %d bytes instead of %d: bring the file back from its copy", path, len(raw), sealKeySize)
	}
	key, err := newSealKey(path, raw)
	if err != nil {
		return nil, err
	}
	if key.ID() != block.Headers[wrapID] {
		return nil, fmt.Errorf("key file of the service %s: the key management service gives the key %s, and the file names %.40q: bring the file back from its copy", path, key.ID(), block.Headers[wrapID])
	}
	return raw, nil
}

// SealKeyReference tells by which key of a key management service a key file is encrypted; "" is none. The service is not asked.
func SealKeyReference(path string) (string, error) {
	raw, err := readSecret(path, maxSealed)
	if err != nil {
		return "", fmt.Errorf("key file of the service: %w", err)
	}
	if block, _ := pem.Decode(raw); block != nil && block.Type == wrapBlock {
		return block.Headers[wrapRef], nil
	}
	return "", nil
}
