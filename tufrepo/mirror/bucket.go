package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/fairlead/fairlead/tufrepo"
)

const (
	metaSHA256   = "Sha256" // x-amz-meta-sha256, as the library gives it back
	defaultTries = 8
	maxObjects   = 5_000_000 // more are not listed: that bucket belongs to somebody else
)

// errNoCredentials says where credentials come from.
var errNoCredentials = errors.New("no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a shared credentials file")

// Credentials looks where the tools of AWS look: in the environment, in the shared credentials file, at the machine's
// own role, the last unless AWS_EC2_METADATA_DISABLED is true.
func Credentials() *credentials.Credentials {
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		chain = append(chain, &credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}})
	}
	return credentials.NewChainCredentials(chain)
}

// object is what a bucket tells of an object.
type object struct {
	size   int64
	etag   string
	sha256 string // only from look
}

// bucket is the S3 protocol, with names relative to the prefix.
type bucket struct {
	Place
	client *minio.Client
}

func openBucket(p Place) (*bucket, error) {
	u, err := p.endpoint()
	if err != nil {
		return nil, err
	}
	o := &minio.Options{Creds: p.Credentials, Secure: u.Scheme == "https", Region: p.Region, Transport: p.Transport, MaxRetries: p.Tries}
	if o.Creds == nil {
		o.Creds = Credentials()
	}
	if o.Region == "" && p.Endpoint != "" {
		o.Region = "us-east-1"
	}
	if o.MaxRetries == 0 {
		o.MaxRetries = defaultTries
	}
	client, err := minio.New(u.Host, o)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", p, err)
	}
	keys, err := o.Creds.GetWithContext(client.CredContext())
	if err != nil || keys.AccessKeyID == "" {
		return nil, errors.Join(errNoCredentials, err)
	}
	return &bucket{p, client}, nil
}

// list finds the objects that have names of a repository; others are somebody else's.
func (b *bucket) list(ctx context.Context) (map[string]object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := map[string]object{}
	for o := range b.client.ListObjects(ctx, b.Bucket, minio.ListObjectsOptions{Prefix: b.Prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.explain("listing the bucket", o.Err)
		}
		name, ok := strings.CutPrefix(o.Key, b.Prefix)
		if !ok || !tufrepo.IsServed(name) {
			continue
		}
		if len(found) == maxObjects {
			return nil, fmt.Errorf("%s has more than %d objects: give it a prefix of its own", b.Place, maxObjects)
		}
		found[name] = object{size: o.Size, etag: strings.Trim(o.ETag, `"`)}
	}
	return found, ctx.Err()
}

// look asks for one object; an absent one is fs.ErrNotExist.
func (b *bucket) look(ctx context.Context, name string) (object, error) {
	o, err := b.client.StatObject(ctx, b.Bucket, b.Prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return object{}, b.explain("looking at "+name, err)
	}
	return object{size: o.Size, etag: strings.Trim(o.ETag, `"`), sha256: o.UserMetadata[metaSHA256]}, nil
}

// get reads a small object.
func (b *bucket) get(ctx context.Context, name string, limit int64) ([]byte, error) {
	o, err := b.client.GetObject(ctx, b.Bucket, b.Prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.explain("reading "+name, err)
	}
	defer o.Close()
	data, err := io.ReadAll(io.LimitReader(o, limit+1))
	if err != nil {
		return nil, b.explain("reading "+name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s in %s has more than %d bytes", name, b.Place, limit)
	}
	return data, nil
}

// put makes or replaces an object, in one step however many requests it takes. An error of r, too, leaves the object
// as it was. Large files go in parts, each of which is held in memory and tried again.
func (b *bucket) put(ctx context.Context, f tufrepo.Served, r io.Reader) error {
	_, err := b.client.PutObject(ctx, b.Bucket, b.Prefix+f.Name, r, f.Length, minio.PutObjectOptions{
		ContentType: f.ContentType, CacheControl: f.CacheControl, SendContentMd5: true,
		UserMetadata: map[string]string{"sha256": f.SHA256.String()},
	})
	if err != nil {
		return b.explain("uploading "+f.Name, err)
	}
	return nil
}

func (b *bucket) remove(ctx context.Context, name string) error {
	if err := b.client.RemoveObject(ctx, b.Bucket, b.Prefix+name, minio.RemoveObjectOptions{}); err != nil {
		return b.explain("removing "+name, err)
	}
	return nil
}

// explain says what happened in which bucket, and what to do about it.
func (b *bucket) explain(doing string, err error) error {
	answer := minio.ToErrorResponse(err)
	hint := hintFor(answer)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errRotten):
	case answer.Code == minio.NoSuchKey, answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket:
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	case hint != "":
		err = fmt.Errorf("%w: %s", err, hint)
	}
	return fmt.Errorf("%s: %s: %w", b.Place, doing, err)
}

// hintFor knows the answers that people meet.
func hintFor(answer minio.ErrorResponse) string {
	switch answer.Code {
	case minio.NoSuchBucket:
		return "make the bucket first, or correct its name, --region or --endpoint"
	case minio.AccessDenied, "AllAccessDisabled":
		return "the credentials need s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and, for --gc, s3:DeleteObject below the prefix"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		return "the credentials are not those of this store, or have expired"
	case "RequestTimeTooSkewed":
		return "set the clock of this machine"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return "the bucket is in another region: name it by --region"
	}
	return "what was uploaded stays, and devices see the state before: run it again when the store answers"
}
