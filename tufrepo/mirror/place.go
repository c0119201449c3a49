package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// defaultEndpoint is the one of the store that gave the protocol its name.
const defaultEndpoint = "https://s3.amazonaws.com"

// Place says where a bucket is.
type Place struct {
	Bucket   string
	Prefix   string // "", or names that end in a slash
	Endpoint string // URL of the store; empty: that of AWS
	Region   string // empty: the store is asked for it at AWS, us-east-1 elsewhere
	// Credentials opens the bucket; nil means [Credentials].
	Credentials *credentials.Credentials
	// Transport carries the requests; nil means one with limits.
	Transport http.RoundTripper
	// Tries is how often a request is tried; 0 means 8, over about five seconds.
	Tries int
}

// ParsePlace reads s3://BUCKET or s3://BUCKET/PREFIX, and the URL of an endpoint, which may be empty.
func ParsePlace(reference, endpoint string) (Place, error) {
	rest, ok := strings.CutPrefix(reference, "s3://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !ok {
		return Place{}, fmt.Errorf("%q is not a bucket: give s3://BUCKET or s3://BUCKET/PREFIX", reference)
	}
	if err := s3utils.CheckValidBucketNameStrict(bucket); err != nil {
		return Place{}, fmt.Errorf("%q cannot be the name of a bucket: %w", bucket, err)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix != "" {
		if path.Clean(prefix) != prefix || strings.HasPrefix(prefix, "/") || strings.HasPrefix(prefix, ".") || strings.ContainsAny(prefix, "?#%\\\x00\r\n") || len(prefix) > 256 {
			return Place{}, fmt.Errorf("%q is not a prefix: give names of letters and digits with single slashes between", prefix)
		}
		prefix += "/"
	}
	p := Place{Bucket: bucket, Prefix: prefix, Endpoint: endpoint}
	_, err := p.endpoint()
	return p, err
}

func (p Place) endpoint() (*url.URL, error) {
	text := p.Endpoint
	if text == "" {
		text = defaultEndpoint
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not an endpoint: give https://HOST or https://HOST:PORT", text)
	}
	if u.User != nil {
		return nil, errors.New("an endpoint with a password in it: give credentials by the environment or by a shared credentials file")
	}
	return u, nil
}

// String is the reference, as people write it.
func (p Place) String() string { return "s3://" + p.Bucket + "/" + p.Prefix }

// id names the place in the repository's state.
func (p Place) id() string {
	endpoint := p.Endpoint
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	sum := sha256.Sum256([]byte(strings.TrimSuffix(endpoint, "/") + "\n" + p.String()))
	return hex.EncodeToString(sum[:8])
}
