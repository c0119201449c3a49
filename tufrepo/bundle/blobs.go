package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/chunk"
)

// checkBlob finds a blob in the bundle, or else in the repository.
func (c *checker) checkBlob(product string, blob firmware.Blob) error {
	name := BlobName(blob.SHA256)
	if c.planned(name) {
		return nil
	}
	file := File{Name: name, From: name, Blob: blob}
	from := c.fsys
	if length, ok := c.blobs[blob.SHA256]; ok {
		c.used[name] = true
		if length != blob.Length {
			c.note(Refused, product, name, fmt.Sprintf("the blob has %d bytes, its manifest says %d", length, blob.Length), doRemake)
			return nil
		}
		c.plan.Blobs = append(c.plan.Blobs, file)
	} else {
		if !c.inRepository(blob) {
			c.note(Refused, product, name, "the blob is missing", doRemake)
			return nil
		}
		from = c.base.fsys
		c.plan.Inherited = append(c.plan.Inherited, file)
	}
	if !c.deep {
		return nil
	}
	return c.compare(product, from, file)
}

func (c *checker) planned(name string) bool {
	for _, group := range [][]File{c.plan.Blobs, c.plan.Inherited} {
		for _, f := range group {
			if f.Name == name {
				return true
			}
		}
	}
	return false
}

func (c *checker) inRepository(blob firmware.Blob) bool {
	if c.base.fsys == nil {
		return false
	}
	st, err := fs.Stat(c.base.fsys, BlobName(blob.SHA256))
	return err == nil && st.Mode().IsRegular() && st.Size() == blob.Length
}

func (c *checker) compare(product string, fsys fs.FS, file File) error {
	f, err := fsys.Open(file.From)
	if err != nil {
		return fmt.Errorf("reading blob: %w", err)
	}
	defer f.Close()
	switch err := CopyBlob(io.Discard, f, file.Blob); {
	case errors.Is(err, ErrAltered):
		c.note(Refused, product, file.Name, err.Error(), doRemake)
	case err != nil:
		return fmt.Errorf("reading blob %s: %w", file.Name, err)
	}
	return nil
}

// ErrAltered says that bytes are not those of the blob that was wanted.
var ErrAltered = errors.New("the blob was altered: its length or SHA-256 is not what its manifest says")

// CopyBlob copies a blob from r to w and compares it on the way. ErrAltered
// comes after the bytes were written: the caller drops them.
func CopyBlob(w io.Writer, r io.Reader, blob firmware.Blob) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, blob.Length+1))
	if err != nil {
		return err
	}
	if n != blob.Length || firmware.Digest(h.Sum(nil)) != blob.SHA256 {
		return ErrAltered
	}
	return nil
}

// checkHeads reads the heads of the artifact, of the patches and of the chunks, by which a device plans its download, and compares them
// with the manifest.
func (c *checker) checkHeads(product string, m *firmware.Manifest) {
	c.checkHead(product, m.Artifact, func(raw []byte) error { return artifactFault(raw, m) })
	for _, p := range m.Patches {
		c.checkHead(product, p.Framed, func(raw []byte) error { return patchFault(raw, m, p) })
	}
	if m.Chunks != nil {
		c.checkHead(product, *m.Chunks, func(raw []byte) error { return chunksFault(raw, m) })
	}
}

func (c *checker) checkHead(product string, file firmware.Framed, fault func(head []byte) error) {
	name := BlobName(file.SHA256)
	if !c.planned(name) {
		return
	}
	fsys := c.base.fsys
	if _, ok := c.blobs[file.SHA256]; ok {
		fsys = c.fsys
	}
	raw, err := readHead(fsys, name, file.Head)
	if err == nil {
		err = fault(raw)
	}
	if err != nil {
		c.refuse(product, name, err)
	}
}

func readHead(fsys fs.FS, name string, head firmware.Blob) ([]byte, error) {
	if head.Length > firmware.MaxHead {
		return nil, fmt.Errorf("the head has %d bytes, more than %d", head.Length, int64(firmware.MaxHead))
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the head: %w", err)
	}
	defer f.Close()
	raw := make([]byte, head.Length)
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, fmt.Errorf("reading the head: %w", err)
	}
	if firmware.Sum(raw) != head.SHA256 {
		return nil, errors.New("the head is not what its manifest says")
	}
	return raw, nil
}

func artifactFault(raw []byte, m *firmware.Manifest) error {
	head, err := firmware.ParseHead(raw)
	if err != nil {
		return fmt.Errorf("the artifact's head: %w", err)
	}
	if head.ImageLength() != m.Image.Length || head.ArtifactLength() != m.Artifact.Length {
		return fmt.Errorf("the artifact's head is for an image of %d bytes in an artifact of %d, its manifest says %d in %d",
			head.ImageLength(), head.ArtifactLength(), m.Image.Length, m.Artifact.Length)
	}
	return nil
}

func patchFault(raw []byte, m *firmware.Manifest, p firmware.Patch) error {
	head, err := firmware.ParsePatchHead(raw)
	if err != nil {
		return fmt.Errorf("the patch's head: %w", err)
	}
	if head.From() != p.From {
		return fmt.Errorf("the patch's head is for a base of %d bytes with SHA-256 %v, its manifest says %d with %v",
			head.From().Length, head.From().SHA256, p.From.Length, p.From.SHA256)
	}
	if head.ImageLength() != m.Image.Length || head.ArtifactLength() != p.Length {
		return fmt.Errorf("the patch's head is for an image of %d bytes in a patch of %d, its manifest says %d in %d",
			head.ImageLength(), head.ArtifactLength(), m.Image.Length, p.Length)
	}
	if p.Length >= m.Artifact.Length {
		return fmt.Errorf("the patch has %d bytes, and the whole artifact only %d", p.Length, m.Artifact.Length)
	}
	return nil
}

func chunksFault(raw []byte, m *firmware.Manifest) error {
	x, err := chunk.Parse(raw)
	if err != nil {
		return fmt.Errorf("the index of the chunks: %w", err)
	}
	if x.ImageLength() != m.Image.Length || x.FileLength() != m.Chunks.Length {
		return fmt.Errorf("the index of the chunks is for an image of %d bytes in a file of %d, its manifest says %d in %d",
			x.ImageLength(), x.FileLength(), m.Image.Length, m.Chunks.Length)
	}
	return nil
}
