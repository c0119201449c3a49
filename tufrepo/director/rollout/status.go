package rollout

import "time"

// Status is how a rollout stands, for people.
type Status struct {
	Run      Run           `json:"run"`
	Reason   string        `json:"reason,omitempty"`
	Phase    string        `json:"phase,omitempty"` // the current one
	InFlight int           `json:"in_flight"`
	Phases   []PhaseStatus `json:"phases"`
	// Outside are the devices in no phase: Already and Excluded ones.
	Outside PhaseStatus `json:"outside"`
}

// PhaseStatus is how a phase stands.
type PhaseStatus struct {
	Name   string        `json:"name,omitempty"`
	States map[State]int `json:"states,omitempty"` // number of devices by state
	Busy   int           `json:"busy,omitempty"`   // of them, with another rollout
	Size   int           `json:"size"`             // devices of which success is expected
	Good   int           `json:"good"`             // Committed, Staged or Already
	Need   int           `json:"need"`             // of Good, to pass
	Passed time.Time     `json:"passed,omitzero"`  // when it had them
	// Waits for an approval that has not been given.
	Approval bool `json:"approval,omitempty"`
}

// Status counts. It costs as much as there are phases.
func (r *Rollout) Status() Status {
	s := Status{Run: r.head.Run, Reason: r.head.Reason, InFlight: r.inFlight(), Outside: r.tallies[0].status()}
	if p := r.head.Phase; p >= 0 {
		s.Phase = r.spec.Phases[p].Name
	}
	for i, spec := range r.spec.Phases {
		p, head := r.tallies[i+1].status(), r.head.Phases[i]
		p.Name, p.Need, p.Passed = spec.Name, share(p.Size, spec.Success), instant(head.Passed)
		p.Approval = spec.Approval && head.Passed != 0 && !head.Approved && !head.Skipped && i == r.head.Phase
		s.Phases = append(s.Phases, p)
	}
	return s
}

func (t *tally) status() PhaseStatus {
	p := PhaseStatus{States: map[State]int{}, Busy: t.busy, Size: t.size(), Good: t.good()}
	for s, n := range t.states {
		if n > 0 {
			p.States[State(s)] = n
		}
	}
	return p
}
