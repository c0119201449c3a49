package wire

import (
	"reflect"
	"testing"
)

// fuzz wants that whatever a decoder takes, the encoder takes too, and that it comes back
// the same.
func fuzz[M Message](t *testing.T, b []byte, dec func([]byte) (M, error)) {
	m, err := dec(b)
	if err != nil {
		return
	}
	out, err := Encode(m)
	if err != nil {
		if len(b) < limitOf(m)/2 {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		return
	}
	again, err := dec(out)
	if err != nil {
		t.Fatalf("own bytes refused: %v", err)
	}
	twice, err := Encode(again)
	if err != nil || !reflect.DeepEqual(out, twice) {
		t.Fatalf("%s\nbecame\n%s\n%v", out, twice, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"s":1,"epoch":"k3","seq":7,"time":"2026-11-22T12:00:00Z","update":"u","state":"failed","product":"b","from":"1","to":"2","reason":"corrupt"}`,
		`{"s":1,"time":"2026-11-22T12:00:00+02:00","boot_id":"b","agent":"0.1.0","product":"b","hardware":"h","version":"1","counter":1,"slot":"a","slots":[{"name":"a"}],"state":"idle","link":{"transport":"wss","trouble":["duplicate_identity"]}}`,
		`{"s":1,"epoch":"k3","seq":8,"time":"2026-11-22T12:00:00Z","update":"u","state":"staged","product":"b","from":"1","to":"2","say":"later","until":"2026-11-22T13:00:00Z"}`,
		`{"s":1,"time":"2026-11-22T12:00:00Z","boot_id":"b","agent":"0.1.0","product":"b","hardware":"h","version":"1","counter":1,"slot":"a","state":"staged","wait":{"update":"u","for":"people","until":"2026-11-22T13:00:00Z"},"offline":true}`,
		`{"s":1,"online":true,"nonce":"N","time":"2026-11-22T12:00:00Z"}`,
		`{"s":1,"update":"u","state":"downloading","done":1,"total":2,"rate":3}`,
		`{"s":1,"id":"c","name":"ping","expires":"2026-11-22T12:00:00Z"}`,
		`{"s":1,"id":"c","ok":true}`,
		`{"claim":"t","csr":"pem","product":"b","hardware":"h"}`,
		`{"tenant":"t","device":"d","certificate":"c","chain":"","director_root":"{}","expires":"2026-11-22T12:00:00Z"}`,
		`{"events":[]}`, `{"seq":3}`, `{"error":{"code":"busy","message":"later"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzz(t, b, DecodeEvent)
		fuzz(t, b, DecodeReported)
		fuzz(t, b, DecodePresence)
		fuzz(t, b, DecodeProgress)
		fuzz(t, b, DecodeCmd)
		fuzz(t, b, DecodeReply)
		fuzz(t, b, DecodeEnrollRequest)
		fuzz(t, b, DecodeEnrollResponse)
		fuzz(t, b, DecodeReports)
		fuzz(t, b, DecodeReportsAck)
		fuzz(t, b, DecodeError)
	})
}

func FuzzTopic(f *testing.F) {
	f.Add("fw/v1/acme/d-1/event")
	f.Add("urn:fairlead:acme:d-1")
	f.Fuzz(func(t *testing.T, s string) {
		if tenant, device, leaf, err := ParseTopic(s); err == nil && Topic(tenant, device, leaf) != s {
			t.Errorf("%q came back as another topic", s)
		}
		if tenant, device, err := ParseDeviceURI(s); err == nil && DeviceURI(tenant, device) != s {
			t.Errorf("%q came back as another name", s)
		}
	})
}
