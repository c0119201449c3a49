package signer

import (
	"io"
	"os"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// ArtifactInfo is what an artifact's head says.
type ArtifactInfo struct {
	Image     int64         `json:"image_length"`
	Length    int64         `json:"length"`
	Head      firmware.Blob `json:"head"`
	FrameSize int           `json:"frame_size"`
	Zero      int           `json:"zero_frames"`
	Zstd      int           `json:"zstd_frames"`
	Raw       int           `json:"raw_frames"`
	Ratio     float64       `json:"ratio"` // image length by artifact length
}

func (in *Inspection) artifact() error {
	head, err := openArtifact(in.Path)
	if err != nil {
		return err
	}
	encoded := head.Encode()
	info := ArtifactInfo{
		Image: head.ImageLength(), Length: head.ArtifactLength(), FrameSize: head.FrameSize(),
		Head:  firmware.Blob{Length: int64(len(encoded)), SHA256: firmware.Sum(encoded)},
		Ratio: float64(head.ImageLength()) / float64(max(head.ArtifactLength(), 1)),
	}
	for i := range head.Len() {
		switch head.Frame(i).Kind {
		case firmware.FrameZero:
			info.Zero++
		case firmware.FrameZstd:
			info.Zstd++
		case firmware.FrameRaw:
			info.Raw++
		}
	}
	in.Content = info
	in.say("image: %s", bytesWords(info.Image))
	in.say("artifact: %s, ratio %.2f", bytesWords(info.Length), info.Ratio)
	in.say("head: %s, SHA-256 %s", bytesWords(info.Head.Length), info.Head.SHA256)
	in.say("%d frames of %s: %d compressed, %d raw, %d of zeros", head.Len(), bytesWords(int64(info.FrameSize)), info.Zstd, info.Raw, info.Zero)
	return nil
}

// openArtifact reads the head, and compares the file's length with it.
func openArtifact(path string) (*firmware.Head, error) {
	return openHead(path, firmware.ReadHead)
}

// openPatch is openArtifact for a patch.
func openPatch(path string) (*firmware.Head, error) {
	return openHead(path, firmware.ReadPatchHead)
}

func openHead(path string, read func(io.Reader) (*firmware.Head, error)) (*firmware.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := read(f)
	if err != nil {
		return nil, refuse("%s: %w", path, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() != head.ArtifactLength() {
		return nil, refuse("%s has %d bytes, its header says %d: it was cut off or added to; copy it again", path, st.Size(), head.ArtifactLength())
	}
	return head, nil
}

// DirectionInfo is what a direction says.
type DirectionInfo struct {
	Tenant   string          `json:"tenant"`
	Device   string          `json:"device"`
	Hardware string          `json:"hardware"`
	Version  int64           `json:"version"`
	Issued   time.Time       `json:"issued"`
	Expires  time.Time       `json:"expires"`
	Update   string          `json:"update,omitempty"`
	Target   string          `json:"target,omitempty"` // manifest path; "" asks for nothing
	SHA256   firmware.Digest `json:"sha256,omitzero"`  // of the manifest
	Counter  int64           `json:"counter,omitempty"`
}

func (in *Inspection) direction(data []byte, now time.Time) error {
	d, err := direction.Unverified(data)
	if err != nil {
		return refuse("%s: %w", in.Path, err)
	}
	info := DirectionInfo{Tenant: d.Tenant, Device: d.Device, Hardware: d.Hardware, Version: d.Version,
		Issued: d.Issued, Expires: d.Expires, Update: d.Update}
	in.say("direction %d to device %q of tenant %q, hardware %s", d.Version, d.Device, d.Tenant, d.Hardware)
	in.say("issued %s, %s", day(d.Issued), lifetimeWords(d.Expires, now))
	if d.Target == nil {
		in.say("install nothing")
	} else {
		info.Target, info.SHA256, info.Counter = d.Target.Path, d.Target.SHA256, d.Target.Counter
		in.say("install %s, counter %d, manifest SHA-256 %s", d.Target.Path, d.Target.Counter, d.Target.SHA256)
		in.say("update %s", d.Update)
	}
	in.Content = info
	return nil
}
