package service

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
	"github.com/fairlead/fairlead/tufrepo/director/remote"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

const (
	// commandLife is how long a command is good: people who send one wait for it.
	commandLife = time.Minute
	// answerWait is how long the operator's request waits for the device's answer.
	answerWait = 5 * time.Second
)

// postCommand sends a command to one device. Nothing is kept for a device that is away: it asks by itself when it comes.
func (s *Service) postCommand(w http.ResponseWriter, r *http.Request, c *call) error {
	d, err := s.device(r, c)
	if err != nil {
		return err
	}
	var in api.Command
	if err := read(w, r, &in); err != nil {
		return err
	}
	if !slices.Contains(wire.Commands(), in.Command) {
		return &director.Error{Code: wire.CodeBadRequest, Message: "command is one of " + strings.Join(wire.Commands(), ", ")}
	}
	cmd := wire.Cmd{Schema: wire.Schema, ID: uuid.NewString(), Name: in.Command, Expires: s.Clock().Add(commandLife).UTC().Truncate(time.Second)}
	c.Tell("device/"+d.ID, map[string]string{"command": cmd.Name, "id": cmd.ID})
	// What is sent is sent: the entry comes first.
	if err := auditlog.Update(r.Context(), s.store, func(*store.Tx) error { return nil }); err != nil {
		return err
	}
	reply, stop := s.director.Answer(d.ID, cmd.ID)
	defer stop()
	if err := s.sendCommand(r.Context(), d, cmd); err != nil {
		return err
	}
	out := api.Commanded{ID: cmd.ID, Expires: cmd.Expires}
	timer := time.NewTimer(answerWait)
	defer timer.Stop()
	select {
	case a := <-reply:
		out.Answered, out.OK, out.Detail = true, a.OK, a.Detail
	case <-timer.C:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	return ok(w, out)
}

// sendCommand hands it to whichever broker there is.
func (s *Service) sendCommand(ctx context.Context, d store.Device, cmd wire.Cmd) error {
	payload, err := wire.Encode(cmd)
	if err != nil {
		return err
	}
	switch {
	case !d.Revoked.IsZero():
		return &director.Error{Code: wire.CodeConflict, Message: "the device is revoked: nothing is sent to it"}
	case s.broker != nil:
		err = s.broker.Command(d.ID, payload, commandLife)
	case s.remote != nil && !d.Online:
		err = remote.ErrAway
	case s.remote != nil:
		err = s.remote.Command(ctx, director.Identity{Tenant: d.Tenant, Device: d.ID}, payload, commandLife)
	default:
		err = broker.ErrAway
	}
	switch {
	case errors.Is(err, broker.ErrAway), errors.Is(err, remote.ErrAway):
		return &director.Error{Code: wire.CodeConflict, Message: "the device is not connected by MQTT: it looks for itself when it polls"}
	case errors.Is(err, broker.ErrBusy):
		return &director.Error{Code: wire.CodeBusy, Message: err.Error() + ": try again in a minute"}
	case errors.Is(err, remote.ErrDown):
		return &director.Error{Code: wire.CodeUnavailable, Message: err.Error()}
	}
	return err
}
