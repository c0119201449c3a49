package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// ahead is how far in front a forged timestamp's number is.
const ahead = 1_000_000

// Forge does what a thief of the timestamp key would who also sits between the repository and the fleet: the fleet is shown a
// timestamp, signed with the stolen key, that hides what was published since the first snapshot, under a number that no
// genuine one will reach. [Site.Restore] ends it.
func (s *Site) Forge() error {
	path := filepath.Join(s.repo.Dir(), bundle.TimestampName)
	genuine, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("forging a timestamp: %w", err)
	}
	m, err := bundle.Parse[metadata.TimestampType](genuine)
	if err != nil {
		return fmt.Errorf("forging a timestamp: %w", err)
	}
	first, err := os.ReadFile(filepath.Join(s.repo.Dir(), bundle.MetadataName(1, metadata.SNAPSHOT)))
	if err != nil {
		return fmt.Errorf("forging a timestamp: %w", err)
	}
	key, err := loadSigner(s.online(s.timestampKey()))
	if err != nil {
		return err
	}
	m.Signed.Version += ahead
	m.Signed.Meta["snapshot.json"] = bundle.MetaFile(1, first)
	m.Signatures = nil
	if err := bundle.SignMetadata(m, key); err != nil {
		return fmt.Errorf("forging a timestamp: %w", err)
	}
	forged, err := bundle.Encode(m)
	if err != nil {
		return fmt.Errorf("forging a timestamp: %w", err)
	}
	s.genuine = genuine
	return durable.WriteFile(path, forged, 0o644)
}

// Restore puts the genuine timestamp back. Devices that have seen the forged one refuse it until another key signs.
func (s *Site) Restore() error {
	if s.genuine == nil {
		return errors.New("restoring the timestamp: none was forged")
	}
	err := durable.WriteFile(filepath.Join(s.repo.Dir(), bundle.TimestampName), s.genuine, 0o644)
	s.genuine = nil
	return err
}
