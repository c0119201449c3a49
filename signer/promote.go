package signer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// PromoteOptions move releases of a product to another channel. Of ProductOptions, Bundle is not used.
type PromoteOptions struct {
	ProductOptions
	Versions []string
	To       firmware.Channel
	// Back lets a release go back to a channel that fewer devices take.
	Back bool
	Keys []keyfile.Signer // sign at once
}

// Promote drafts a product's file in which the releases are in another channel. Nothing is built: their manifests and
// blobs stay what they are, and so do their entries in the log.
func Promote(ctx context.Context, o PromoteOptions) (*Draft, error) {
	if err := o.Base.ready(o.Now); err != nil {
		return nil, err
	}
	published := o.Base.Role(o.Product)
	if published == nil {
		return nil, refuse("product %q has no releases here; there are %s", o.Product, list(o.Base.Products()))
	}
	role, err := successor(published, o.Now, o.Lifetime)
	if err != nil {
		return nil, err
	}
	for _, version := range o.Versions {
		if err := o.move(role, o.Base.Releases(o.Product), version); err != nil {
			return nil, err
		}
	}
	if err := signProduct(role, o.Base, o.Product, o.Keys); err != nil {
		return nil, err
	}
	return writeDraft(ctx, o.Out, drafts{products: map[string]*targetsMeta{o.Product: role}}, o.Base, o.Base.warnings(o.Now, o.Product))
}

func (o PromoteOptions) move(role *targetsMeta, entries []bundle.Entry, version string) error {
	i := slices.IndexFunc(entries, func(e bundle.Entry) bool { return e.Version == version })
	if i < 0 {
		return refuse("%s %s is not published here, or is listed no more", o.Product, version)
	}
	switch from := entries[i].Channel; {
	case from == o.To:
		return refuse("%s %s is in channel %s already", o.Product, version, o.To)
	case o.To.Takes(from) && !o.Back:
		return refuse("%s %s is in channel %s; %s would take it away from devices that may have it: if that is meant, add --back",
			o.Product, version, from, o.To)
	}
	return setChannel(role, version, o.To)
}

// setChannel says in a product's file in which channel a release is; "" stands for stable.
func setChannel(role *targetsMeta, version string, c firmware.Channel) error {
	s := &role.Signed
	object, _ := s.UnrecognizedFields[firmware.ChannelsMember].(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	object[version] = string(c)
	if cmp.Or(c, firmware.Stable) == firmware.Stable {
		delete(object, version)
	}
	if len(object) == 0 {
		delete(s.UnrecognizedFields, firmware.ChannelsMember)
		return nil
	}
	s.UnrecognizedFields[firmware.ChannelsMember] = object
	if _, err := firmware.ParseChannels(s.UnrecognizedFields); err != nil {
		return refusal{err}
	}
	return nil
}

// signProduct signs a product's file with keys that are known to be its.
func signProduct(role *targetsMeta, base *Base, product string, keys []keyfile.Signer) error {
	who := bundle.ByTargets(base.Targets(), product)
	for _, key := range keys {
		if who.Keys[key.ID()] == nil || !slices.Contains(who.KeyIDs, key.ID()) {
			return refuse("key %.12s does not sign for %s; its keys are %s", key.ID(), product,
				names(people(who.KeyIDs, owners(base.Targets().Signed.UnrecognizedFields))))
		}
		if err := bundle.SignMetadata(role, key); err != nil {
			return fmt.Errorf("signing %s %d: %w", product, role.Signed.Version, err)
		}
	}
	return nil
}

// channelWords tell of releases that stay and change their channel.
func channelWords(before, now []bundle.Entry) []string {
	was := map[string]firmware.Channel{}
	for _, e := range before {
		was[e.Path] = e.Channel
	}
	var out []string
	for _, e := range now {
		if old, ok := was[e.Path]; ok && old != e.Channel {
			out = append(out, fmt.Sprintf("release %s (counter %d) goes from channel %s to %s: %s", e.Version, e.Counter, old, e.Channel, takers(e.Channel)))
		}
	}
	return out
}

// takers says which devices take a release of the channel.
func takers(c firmware.Channel) string {
	var who []string
	for _, own := range []firmware.Channel{firmware.Dev, firmware.Beta, firmware.Stable} {
		if own.Takes(c) {
			who = append(who, string(own))
		}
	}
	return "devices of " + strings.Join(who, ", ") + " take it"
}
