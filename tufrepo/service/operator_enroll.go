package service

import (
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) enrollRoutes() []operatorRoute {
	const t = "/api/v1/tenants/{tenant}"
	return []operatorRoute{
		{pattern: "GET " + t + "/enroll-policy", permission: access.EnrollRead, handle: s.getPolicy,
			about: "how devices may come in", out: api.Policy{}},
		{pattern: "PUT " + t + "/enroll-policy", permission: access.EnrollWrite, action: audit.EnrollPolicy, handle: s.putPolicy,
			about: "change how devices may come in", in: api.Policy{}, out: api.Policy{}},
		{pattern: "DELETE " + t + "/claim-tokens/{id}", permission: access.EnrollWrite, action: audit.ClaimRevoke, handle: s.deleteClaim,
			about: "withdraw a claim token", out: api.Done{}},
		{pattern: "POST " + t + "/expected", permission: access.EnrollWrite, action: audit.ExpectedAdd, handle: s.postExpected,
			about: "import a list of devices that are waited for, as CSV or JSON", out: api.Imported{}},
		{pattern: "GET " + t + "/expected", permission: access.EnrollRead, handle: s.getExpected,
			about: "the devices that are waited for", query: []string{"after", "limit"}, out: api.ExpectedList{}},
		{pattern: "DELETE " + t + "/expected/{n}", permission: access.EnrollWrite, action: audit.ExpectedRemove, handle: s.deleteExpected,
			about: "take a device off the list", out: api.Done{}},
		{pattern: "GET " + t + "/clones", permission: access.EnrollRead, handle: s.getClones,
			about: "keys in quarantine", out: api.Clones{}},
		{pattern: "POST " + t + "/clones/resolve", permission: access.EnrollWrite, action: audit.CloneDrop, handle: s.postResolve,
			about: "let a key out of quarantine, or drop it", in: api.Resolve{}, out: api.Clone{}},
		{pattern: "POST " + t + "/codes", permission: access.EnrollWrite, action: audit.ClaimAdd, handle: s.postCode,
			about: "make a claim code; it is in this answer and in no other", in: api.NewCode{}, out: api.Code{}},
		{pattern: "GET " + t + "/codes", permission: access.EnrollRead, handle: s.getCodes,
			about: "list claim codes, without what is secret", out: api.Codes{}},
		{pattern: "POST " + t + "/customs", permission: access.EnrollWrite, action: audit.DeviceKeyAdd, handle: s.postCustom,
			about: "add a custom device; its access key is in this answer and in no other", in: api.NewCustom{}, out: api.Custom{}},
		{pattern: "GET " + t + "/customs", permission: access.EnrollRead, handle: s.getCustoms,
			about: "list custom devices", query: []string{"after", "limit"}, out: api.Customs{}},
		{pattern: "POST " + t + "/customs/{id}/key", permission: access.EnrollWrite, action: audit.DeviceKeyAdd, handle: s.postCustomKey,
			about: "give a custom device another access key; the old one ends", out: api.Custom{}},
		{pattern: "DELETE " + t + "/customs/{id}", permission: access.EnrollWrite, action: audit.DeviceKeyRevoke, handle: s.deleteCustom,
			about: "withdraw a custom device and its access key", out: api.Done{}},
	}
}

func (s *Service) getPolicy(w http.ResponseWriter, r *http.Request, _ *call) error {
	p, err := s.director.Policy(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	return ok(w, policyOut(p))
}

func policyOut(p director.Policy) api.Policy {
	out := api.Policy{Ways: []string{}}
	for _, way := range p.Ways {
		out.Ways = append(out.Ways, string(way))
	}
	return out
}

func (s *Service) putPolicy(w http.ResponseWriter, r *http.Request, _ *call) error {
	var in api.Policy
	if err := read(w, r, &in); err != nil {
		return err
	}
	var p director.Policy
	for _, way := range in.Ways {
		p.Ways = append(p.Ways, director.Way(way))
	}
	if err := s.director.SetPolicy(r.Context(), r.PathValue("tenant"), p); err != nil {
		return err
	}
	return ok(w, policyOut(p))
}

func (s *Service) deleteClaim(w http.ResponseWriter, r *http.Request, _ *call) error {
	if err := s.director.RevokeClaim(r.Context(), r.PathValue("tenant"), r.PathValue("id")); err != nil {
		return err
	}
	return ok(w, api.Done{})
}

func (s *Service) postExpected(w http.ResponseWriter, r *http.Request, _ *call) error {
	body := http.MaxBytesReader(w, r.Body, director.MaxImport+1)
	rows, err := director.ParseExpected(body)
	_, rest := io.Copy(io.Discard, body) // so that who sends too much hears why
	if err = errors.Join(err, rest); err != nil {
		return err
	}
	// A long list takes a while to store; the deadline was for the body, and its end would end the request.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if err := s.director.Import(r.Context(), r.PathValue("tenant"), rows); err != nil {
		return err
	}
	return ok(w, api.Imported{Devices: len(rows)})
}

func (s *Service) getExpected(w http.ResponseWriter, r *http.Request, _ *call) error {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64) // 0 for what is no number
	out := api.ExpectedList{Expected: []api.Expected{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.ExpectedList(r.PathValue("tenant"), after, limit(r))
		for _, e := range all {
			out.Expected = append(out.Expected, api.Expected{N: e.N, Serial: e.Serial, MAC: e.MAC, Product: e.Product, Hardware: e.Hardware,
				Group: e.Group, Added: e.Added, Device: e.Device})
		}
		if len(all) == limit(r) {
			out.Next = all[len(all)-1].N
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func (s *Service) deleteExpected(w http.ResponseWriter, r *http.Request, _ *call) error {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil {
		return &director.Error{Code: wire.CodeBadRequest, Message: "what is to be removed is a number: look at fairlead-repo enroll list"}
	}
	if err := s.director.RemoveExpected(r.Context(), r.PathValue("tenant"), n); err != nil {
		return err
	}
	return ok(w, api.Done{})
}

func (s *Service) getClones(w http.ResponseWriter, r *http.Request, _ *call) error {
	tenant := r.PathValue("tenant")
	out := api.Clones{Clones: []api.Clone{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Clones(tenant)
		for _, c := range all {
			one := cloneOut(c)
			if dev, err := tx.DeviceByName(tenant, c.Serial, c.Serial); err == nil {
				one.Device = dev.ID
			}
			out.Clones = append(out.Clones, one)
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func cloneOut(c store.Clone) api.Clone {
	return api.Clone{Serial: c.Serial, Key: hex.EncodeToString(c.Key), First: c.First, Last: c.Last, Count: c.Count}
}

func (s *Service) postResolve(w http.ResponseWriter, r *http.Request, _ *call) error {
	var in api.Resolve
	if err := read(w, r, &in); err != nil {
		return err
	}
	c, err := s.director.Resolve(r.Context(), r.PathValue("tenant"), in.Serial, in.Key, in.Accept)
	if err != nil {
		return err
	}
	return ok(w, cloneOut(c))
}

func (s *Service) postCode(w http.ResponseWriter, r *http.Request, _ *call) error {
	var in api.NewCode
	if err := read(w, r, &in); err != nil {
		return err
	}
	life := time.Duration(min(max(in.Seconds, 0), math.MaxInt32)) * time.Second
	text, c, err := s.director.NewCode(r.Context(), r.PathValue("tenant"), in.Group, life)
	if err != nil {
		return err
	}
	out := codeOut(c)
	out.Code = text
	return ok(w, out)
}

func codeOut(c store.Code) api.Code {
	return api.Code{ID: director.CodeName(c), Group: c.Group, Created: c.Created, Expires: c.Expires, Used: maybe(c.Used), Device: c.Device}
}

func (s *Service) getCodes(w http.ResponseWriter, r *http.Request, _ *call) error {
	out := api.Codes{Codes: []api.Code{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Codes(r.PathValue("tenant"))
		for _, c := range all {
			out.Codes = append(out.Codes, codeOut(c))
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func (s *Service) postCustom(w http.ResponseWriter, r *http.Request, _ *call) error {
	var in api.NewCustom
	if err := read(w, r, &in); err != nil {
		return err
	}
	key, c, err := s.director.AddCustom(r.Context(), director.CustomOrder{Tenant: r.PathValue("tenant"), ID: in.ID, Name: in.Name,
		Product: in.Product, Hardware: in.Hardware, Group: in.Group})
	if err != nil {
		return err
	}
	out := customOut(c)
	out.Key = key
	return ok(w, out)
}

func customOut(c store.Custom) api.Custom {
	return api.Custom{ID: c.ID, Name: c.Name, Product: c.Product, Hardware: c.Hardware, Group: c.Group, Created: maybe(c.Created), Revoked: maybe(c.Revoked)}
}

func (s *Service) getCustoms(w http.ResponseWriter, r *http.Request, _ *call) error {
	out := api.Customs{Customs: []api.Custom{}}
	err := s.store.View(r.Context(), func(tx *store.Tx) error {
		all, err := tx.Customs(r.PathValue("tenant"), r.URL.Query().Get("after"), limit(r))
		for _, c := range all {
			out.Customs = append(out.Customs, customOut(c))
		}
		if len(all) == limit(r) {
			out.Next = all[len(all)-1].ID
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(w, out)
}

func (s *Service) postCustomKey(w http.ResponseWriter, r *http.Request, _ *call) error {
	key, err := s.director.RotateCustom(r.Context(), r.PathValue("tenant"), r.PathValue("id"))
	if err != nil {
		return err
	}
	return ok(w, api.Custom{ID: r.PathValue("id"), Key: key})
}

func (s *Service) deleteCustom(w http.ResponseWriter, r *http.Request, _ *call) error {
	if err := s.director.RevokeCustom(r.Context(), r.PathValue("tenant"), r.PathValue("id")); err != nil {
		return err
	}
	return ok(w, api.Done{})
}
