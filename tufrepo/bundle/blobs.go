package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/fairlead/fairlead/firmware"
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

// checkHead reads the head of the artifact, by which a device plans its
// download, and compares it with the manifest.
func (c *checker) checkHead(product string, m *firmware.Manifest) error {
	name := BlobName(m.Artifact.SHA256)
	if !c.planned(name) {
		return nil
	}
	fsys := c.base.fsys
	if _, ok := c.blobs[m.Artifact.SHA256]; ok {
		fsys = c.fsys
	}
	if err := headFault(fsys, name, m); err != nil {
		c.refuse(product, name, err)
	}
	return nil
}

func headFault(fsys fs.FS, name string, m *firmware.Manifest) error {
	if m.Artifact.Head.Length > firmware.MaxHead {
		return fmt.Errorf("the artifact's head has %d bytes, more than %d", m.Artifact.Head.Length, int64(firmware.MaxHead))
	}
	f, err := fsys.Open(name)
	if err != nil {
		return fmt.Errorf("reading the artifact: %w", err)
	}
	defer f.Close()
	raw := make([]byte, m.Artifact.Head.Length)
	if _, err := io.ReadFull(f, raw); err != nil {
		return fmt.Errorf("reading the artifact's head: %w", err)
	}
	if firmware.Sum(raw) != m.Artifact.Head.SHA256 {
		return errors.New("the artifact's head is not what its manifest says")
	}
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
