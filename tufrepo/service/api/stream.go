package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Upload sends a body of any kind.
func (c Client) Upload(ctx context.Context, path, contentType string, body io.Reader, out any) error {
	resp, err := c.post(ctx, path, contentType, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(resp, out)
}

// Download writes an answer of any length to w. It has no deadline but that of ctx.
func (c Client) Download(ctx context.Context, path string, w io.Writer) (int64, error) {
	resp, err := c.post(ctx, path, "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, errors.Join(read(resp, nil))
	}
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		err = fmt.Errorf("reading the service's answer: %w", err)
	}
	return n, err
}

func (c Client) post(ctx context.Context, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+Prefix+path, body)
	if err != nil {
		return nil, fmt.Errorf("asking the service: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	hc := c.HTTP
	if hc == nil {
		hc = &http.Client{}
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the service at %s (is fairlead-repo serve running?): %w", c.URL, err)
	}
	return resp, nil
}
