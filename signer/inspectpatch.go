package signer

import (
	"cmp"
	"slices"

	"github.com/fairlead/fairlead/firmware"
)

// PatchInfo is what a patch's head says.
type PatchInfo struct {
	From      firmware.Blob `json:"from"` // the image that it applies to
	Image     int64         `json:"image_length"`
	Length    int64         `json:"length"`
	Head      firmware.Blob `json:"head"`
	FrameSize int           `json:"frame_size"`
	Kinds     []FramesInfo  `json:"kinds"`
	Largest   []FrameInfo   `json:"largest"` // by stored bytes, at most largestFrames
	Ratio     float64       `json:"ratio"`   // image length by patch length
}

// FramesInfo sums up the frames of one kind.
type FramesInfo struct {
	Kind   string `json:"kind"` // "zero", "zstd", "raw" or "delta"
	Frames int    `json:"frames"`
	Image  int64  `json:"image_length"`
	Stored int64  `json:"stored_length"`
}

// FrameInfo is one frame.
type FrameInfo struct {
	Index  int    `json:"frame"`
	Kind   string `json:"kind"`
	At     int64  `json:"at"` // within the image
	Stored int64  `json:"stored_length"`
}

const largestFrames = 5

var kindNames = [...]string{firmware.FrameZero: "zero", firmware.FrameZstd: "zstd", firmware.FrameRaw: "raw", firmware.FrameDelta: "delta"}

func (in *Inspection) patch() error {
	head, err := openPatch(in.Path)
	if err != nil {
		return err
	}
	encoded := head.Encode()
	info := PatchInfo{
		From: head.From(), Image: head.ImageLength(), Length: head.ArtifactLength(), FrameSize: head.FrameSize(),
		Head:  firmware.Blob{Length: int64(len(encoded)), SHA256: firmware.Sum(encoded)},
		Ratio: float64(head.ImageLength()) / float64(max(head.ArtifactLength(), 1)),
	}
	info.count(head)
	in.Content = info
	in.say("base: %s, SHA-256 %s", bytesWords(info.From.Length), info.From.SHA256)
	in.say("image: %s", bytesWords(info.Image))
	in.say("patch: %s, ratio %.2f", bytesWords(info.Length), info.Ratio)
	in.say("head: %s, SHA-256 %s", bytesWords(info.Head.Length), info.Head.SHA256)
	in.say("%d frames of %s", head.Len(), bytesWords(int64(info.FrameSize)))
	for _, k := range info.Kinds {
		in.say("  %-5s %6d: image %s, stored %s", k.Kind, k.Frames, bytesWords(k.Image), bytesWords(k.Stored))
	}
	for _, f := range info.Largest {
		in.say("  large: frame %d at %d, %s, stored %s", f.Index, f.At, f.Kind, bytesWords(f.Stored))
	}
	return nil
}

// count sums up the frames, and finds the largest.
func (info *PatchInfo) count(head *firmware.Head) {
	kinds := [len(kindNames)]FramesInfo{}
	for i := range head.Len() {
		f := head.Frame(i)
		k := &kinds[f.Kind]
		k.Kind = kindNames[f.Kind]
		k.Frames++
		k.Image += f.Length
		k.Stored += f.Stored
		if f.Stored > 0 {
			info.Largest = append(info.Largest, FrameInfo{f.Index, kindNames[f.Kind], f.At, f.Stored})
		}
	}
	info.Kinds = slices.DeleteFunc(kinds[:], func(k FramesInfo) bool { return k.Frames == 0 })
	slices.SortStableFunc(info.Largest, func(a, b FrameInfo) int { return cmp.Compare(b.Stored, a.Stored) })
	info.Largest = info.Largest[:min(len(info.Largest), largestFrames)]
}
