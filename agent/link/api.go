package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// maxAfter caps what a service may ask for with Retry-After.
const maxAfter = time.Hour

// api makes the HTTPS requests of package wire.
type api struct {
	base    *url.URL
	client  *http.Client
	timeout time.Duration
	now     func() time.Time
}

func newAPI(d *dialer, t http.RoundTripper, timeout time.Duration, now func() time.Time) *api {
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &api{base: d.service, timeout: timeout, now: now,
		client: &http.Client{Transport: t, CheckRedirect: noRedirect}}
}

// answer is what the service said, at most the limit of its body.
type answer struct {
	status int
	etag   string
	body   []byte
}

// direction asks for the signed direction. nil means that there is none, or that it is the
// one of etag.
func (a *api) direction(ctx context.Context, etag string) (raw []byte, newETag string, err error) {
	header := http.Header{}
	if etag != "" {
		header.Set("If-None-Match", etag)
	}
	got, err := a.do(ctx, http.MethodGet, wire.PathDirection, header, nil, wire.MaxDirection)
	if err != nil {
		return nil, etag, fmt.Errorf("ask for the direction: %w", err)
	}
	switch got.status {
	case http.StatusNotModified:
		return nil, etag, nil
	case http.StatusNoContent:
		return nil, "", nil
	}
	return got.body, got.etag, nil
}

// reports delivers r and returns the number of the last event that is stored.
func (a *api) reports(ctx context.Context, r wire.Reports) (int64, error) {
	body, err := wire.Encode(r)
	if err != nil {
		return 0, &Error{Class: ClassRequest, Err: err}
	}
	got, err := a.do(ctx, http.MethodPost, wire.PathReports, jsonHeader(), body, wire.MaxSmall)
	if err != nil {
		return 0, fmt.Errorf("deliver reports: %w", err)
	}
	ack, err := wire.DecodeReportsAck(got.body)
	if err != nil {
		return 0, fmt.Errorf("deliver reports: %w", err)
	}
	return ack.Seq, nil
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// do makes one request. Answers other than 2xx and 304 are errors of a class.
func (a *api) do(ctx context.Context, method, path string, header http.Header, body []byte, limit int64) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header = header
	req.Header.Set("Accept", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return answer{}, explain(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return answer{}, explain(err)
	}
	if err := a.judge(resp, got, limit); err != nil {
		return answer{}, err
	}
	return answer{resp.StatusCode, resp.Header.Get("ETag"), got}, nil
}

// judge finds what is wrong with an answer.
func (a *api) judge(resp *http.Response, body []byte, limit int64) error {
	json := len(bytes.TrimSpace(body)) > 0 && bytes.TrimSpace(body)[0] == '{'
	code := resp.StatusCode
	switch {
	case code == http.StatusNotModified, code == http.StatusNoContent:
		return nil
	case code/100 == 3, code/100 == 2 && !json, code == http.StatusNetworkAuthenticationRequired:
		return &Error{Class: ClassCaptive, Err: fmt.Errorf("somebody else answers in the place of the service, "+
			"as a captive portal does (%s, %.60q)", resp.Status, resp.Header.Get("Content-Type"))}
	case code/100 == 2 && int64(len(body)) > limit:
		return &Error{Class: ClassUnavailable, Err: fmt.Errorf("the service's answer has more than %d bytes", limit)}
	case code/100 == 2:
		return nil
	}
	return a.refusal(resp, body)
}

// refusal is the error of a status that is none of success.
func (a *api) refusal(resp *http.Response, body []byte) *Error {
	e := &Error{Class: classOf(resp.StatusCode, ""), After: retryAfter(resp.Header, a.now())}
	said, err := wire.DecodeError(body)
	if err != nil {
		e.Err = fmt.Errorf("the service said %s", resp.Status)
		return e
	}
	e.Class = classOf(resp.StatusCode, said.Error.Code)
	e.Err = fmt.Errorf("the service said %s: %s", said.Error.Code, wire.Text(said.Error.Message))
	return e
}

func classOf(status int, code string) string {
	switch code {
	case wire.CodeClaimUnknown, wire.CodeClaimExpired, wire.CodeClaimUsed:
		return ClassClaim
	case wire.CodeConflict:
		return ClassConflict
	case wire.CodeUnauthorized, wire.CodeRevoked:
		return ClassIdentity
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return ClassIdentity
	case http.StatusProxyAuthRequired:
		return ClassProxy
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return ClassRequest
	}
	return ClassUnavailable
}

// retryAfter reads both forms of the header (RFC 9110, section 10.2.3), capped.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	var wait time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(max(seconds, 0), int64(maxAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxAfter)
}

// after is how long the error asks for patience.
func after(err error) time.Duration {
	if known, ok := errors.AsType[*Error](err); ok {
		return known.After
	}
	return 0
}
