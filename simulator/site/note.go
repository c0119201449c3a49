package site

import (
	"context"
	"fmt"
	"net/url"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// Note is what operators note of a device.
type Note struct {
	Zone       string            // IANA time zone; "" leaves it
	Attributes map[string]string // none leaves them
}

// Note notes what is known of the tenant's devices, by their serial numbers. The service must run.
func (s *Site) Note(ctx context.Context, of func(serial string) Note) error {
	for after, more := "", true; more; {
		page, err := s.Devices(ctx, after)
		if err != nil {
			return err
		}
		for _, d := range page.Devices {
			if err := s.note(ctx, d, of(d.Serial)); err != nil {
				return fmt.Errorf("noting the attributes of device %s: %w", d.Serial, err)
			}
		}
		after, more = page.Next, page.Next != ""
	}
	return nil
}

func (s *Site) note(ctx context.Context, d api.Device, n Note) error {
	edit := api.DeviceEdit{Attributes: n.Attributes}
	if n.Zone != "" {
		edit.Zone = &n.Zone
	}
	if edit.Zone == nil && len(edit.Attributes) == 0 {
		return nil
	}
	return s.ask(ctx, "PATCH", "/devices/"+d.ID, edit, &api.Device{})
}

// Devices are the tenant's by their ids, a page of them: those after the id that is given, or the first.
func (s *Site) Devices(ctx context.Context, after string) (page api.Devices, err error) {
	q := url.Values{"tenant": {Tenant}, "limit": {"500"}, "after": {after}}
	if err := s.ask(ctx, "GET", "/devices?"+q.Encode(), nil, &page); err != nil {
		return page, fmt.Errorf("listing devices: %w", err)
	}
	return page, nil
}
