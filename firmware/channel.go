package firmware

import (
	"fmt"
	"slices"
)

// Channel says how far a release has come. Whoever signs a product's releases moves them on by signature; the release
// itself, its manifest and its entry in the log stay as they are.
type Channel string

// The channels, in the order in which a release goes through them.
const (
	Dev    Channel = "dev"
	Beta   Channel = "beta"
	Stable Channel = "stable"
)

// ChannelsMember is the member of a product role's signed part that says which releases are not in channel stable yet:
// an object of version -> "dev" or "beta". A release that it does not name is in stable, so that a product without
// channels has no member of this name.
const ChannelsMember = "x-fairlead-channels"

var channels = []Channel{Dev, Beta, Stable}

// Check reports why c is not a channel.
func (c Channel) Check() error {
	if !slices.Contains(channels, c) {
		return fmt.Errorf("channel %.40q: use dev, beta or stable", string(c))
	}
	return nil
}

// Takes tells whether a device of channel c takes a release of channel r: stable takes stable, beta also beta, dev all.
// Both must have passed Check.
func (c Channel) Takes(r Channel) bool { return slices.Index(channels, r) >= slices.Index(channels, c) }

// ParseChannels reads the channels of a product role from the members of its signed part that TUF does not know. What is
// not exactly of the form that [ChannelsMember] describes is an error: nobody may take a release for more than it is.
func ParseChannels(members map[string]any) (map[string]Channel, error) {
	value, ok := members[ChannelsMember]
	if !ok {
		return nil, nil
	}
	object, ok := value.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, fmt.Errorf("%s is not an object of versions and their channels", ChannelsMember)
	}
	all := map[string]Channel{}
	for version, value := range object {
		text, _ := value.(string)
		c := Channel(text)
		if err := CheckVersion(version); err != nil {
			return nil, fmt.Errorf("%s: %w", ChannelsMember, err)
		}
		if c != Dev && c != Beta {
			return nil, fmt.Errorf("%s: version %s: %.40q is neither dev nor beta", ChannelsMember, version, text)
		}
		all[version] = c
	}
	return all, nil
}
