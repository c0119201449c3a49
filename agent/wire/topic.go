package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Leaves of the topic tree.
const (
	LeafDirection = "direction"
	LeafCmd       = "cmd"
	LeafPresence  = "presence"
	LeafReported  = "reported"
	LeafEvent     = "event"
	LeafProgress  = "progress"
	LeafReply     = "reply"
)

// Names of the transports, as in configuration and in [LinkStatus].
const (
	TransportMQTTS = "mqtts"
	TransportWSS   = "wss"
	TransportHTTPS = "https"
)

// Paths of the service, and the names that pick MQTT on its port.
const (
	PathEnroll    = "/v1/enroll"
	PathDirection = "/v1/direction"
	PathReports   = "/v1/reports"
	PathMQTT      = "/mqtt"

	// ALPN is offered in the TLS handshake by a client that will speak MQTT at once.
	ALPN = "mqtt"
	// Subprotocol is MQTT's WebSocket subprotocol (MQTT 5, section 6).
	Subprotocol = "mqtt"
)

const prefix = "fw/v1/"

// Topic names a topic. Tenant and device must have passed [CheckID].
func Topic(tenant, device, leaf string) string {
	return prefix + tenant + "/" + device + "/" + leaf
}

// ParseTopic is the reverse of [Topic]; it refuses leaves and ids that Topic could not
// have made.
func ParseTopic(topic string) (tenant, device, leaf string, err error) {
	rest, ok := strings.CutPrefix(topic, prefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return "", "", "", fmt.Errorf("topic %.100q is not fw/v1/{tenant}/{device}/{leaf}", topic)
	}
	for _, id := range parts[:2] {
		if err := CheckID(id); err != nil {
			return "", "", "", fmt.Errorf("topic %.100q: %w", topic, err)
		}
	}
	if !Up(parts[2]) && !Down(parts[2]) {
		return "", "", "", fmt.Errorf("topic %.100q has no known leaf", topic)
	}
	return parts[0], parts[1], parts[2], nil
}

// Up says whether devices publish on leaf.
func Up(leaf string) bool {
	switch leaf {
	case LeafPresence, LeafReported, LeafEvent, LeafProgress, LeafReply:
		return true
	}
	return false
}

// Down says whether devices subscribe to leaf.
func Down(leaf string) bool { return leaf == LeafDirection || leaf == LeafCmd }

// CheckID says whether s can be a tenant or a device: 1 to 64 of [A-Za-z0-9_-]. Dots
// and $ are left out because brokers give them meanings.
func CheckID(s string) error {
	if len(s) == 0 || len(s) > 64 {
		return fmt.Errorf("id %.80q must have 1 to 64 characters", s)
	}
	for _, c := range []byte(s) {
		if !isIDByte(c) {
			return fmt.Errorf("id %.80q may have letters, digits, _ and - only", s)
		}
	}
	return nil
}

func isIDByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// DirectorRootPath is where root version n of a tenant's director is served.
func DirectorRootPath(tenant string, n int64) string {
	return "/director/" + tenant + "/" + strconv.FormatInt(n, 10) + ".root.json"
}

// DeviceURI is the URI name in a device's certificate, beside CN = device.
func DeviceURI(tenant, device string) string {
	return "urn:fairlead:" + tenant + ":" + device
}

// ParseDeviceURI is the reverse of [DeviceURI].
func ParseDeviceURI(uri string) (tenant, device string, err error) {
	rest, ok := strings.CutPrefix(uri, "urn:fairlead:")
	tenant, device, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return "", "", fmt.Errorf("certificate name %.200q is not urn:fairlead:{tenant}:{device}", uri)
	}
	for _, id := range []string{tenant, device} {
		if err := CheckID(id); err != nil {
			return "", "", fmt.Errorf("certificate name %.200q: %w", uri, err)
		}
	}
	return tenant, device, nil
}
