package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// swupdates are swupdate with a zstd -9 image, which it streams into the slot, and a CMS signature.
func swupdates(b testing.TB, c cache, p pair, s slot) []installer {
	b.Helper()
	need(b, "swupdate", "openssl", "cpio", "zstd")
	dir := c.scratch(b)
	key, cert := signingKey(b, dir)
	image := filepath.Join(dir, "image.zst")
	run(b, "zstd", "-q", "-9", "-T1", p.new, "-o", image)
	sum, err := digest(image)
	must(b, err)
	description := filepath.Join(dir, "sw-description")
	must(b, os.WriteFile(description, fmt.Appendf(nil, `software = { version = "1.1.0"; hardware-compatibility = ["1.0"];
  images: ({ filename = "image.zst"; device = %q; type = "raw"; compressed = "zstd"; installed-directly = true; sha256 = %q; });
}
`, s.device, sum), 0o600))
	run(b, "openssl", "cms", "-sign", "-in", description, "-out", description+".sig", "-signer", cert, "-inkey", key,
		"-outform", "DER", "-nosmimecap", "-binary")
	measure(b, job{dir: dir, args: []string{"sh", "-c",
		"printf '%s\\n' sw-description sw-description.sig image.zst | cpio --quiet -o -H crc > update.swu"}})
	update := filepath.Join(dir, "update.swu")
	url := serveFiles(b, dir, "127.0.0.1")
	with := func(source ...string) func() usage {
		return func() usage { return run(b, append([]string{"swupdate", "-k", cert, "-H", "peers:1.0"}, source...)...) }
	}
	name := "swupdate (" + version(b, "swupdate") + "), "
	return []installer{
		{name + "HTTP", true, size(b, update), with("-d", "-u "+url+"/update.swu")},
		{name + "file", false, size(b, update), with("-i", update)},
	}
}
