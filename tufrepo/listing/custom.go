package listing

// Custom is the custom object of a release's target: what a director's
// direction must match, and what lets a device judge a release before it
// fetches the manifest. It repeats the manifest.
type Custom struct {
	Counter  int64    `json:"counter"`
	Hardware []string `json:"hardware"`
	Product  string   `json:"product"`
	Version  string   `json:"version"`
}

// ReadCustom reads the object in the form that encoding/json prints, of plain characters, and in none other.
func ReadCustom(raw []byte) (c Custom, ok bool) {
	r := reader{s: string(raw)}
	r.custom(&c)
	return c, r.done()
}

func isCustom(s string) bool {
	r := reader{s: s}
	r.custom(nil)
	return r.done()
}

// custom passes over a custom object, and reads it into c unless that is nil.
func (r *reader) custom(c *Custom) {
	r.want(`{"counter":`)
	counter := r.number()
	r.want(`,"hardware":[`)
	hardware := r.hardware(c != nil)
	r.want(`,"product":`)
	product := r.text()
	r.want(`,"version":`)
	version := r.text()
	r.want(`}`)
	if c != nil {
		*c = Custom{counter, hardware, product, version}
	}
}

// hardware passes over a list and its end.
func (r *reader) hardware(keep bool) (list []string) {
	if keep {
		list = []string{}
	}
	for first := true; !r.has(`]`); first = false {
		if !first {
			r.want(`,`)
		}
		if text := r.text(); keep {
			list = append(list, text)
		}
	}
	return list
}
