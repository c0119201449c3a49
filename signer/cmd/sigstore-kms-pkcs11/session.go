//go:build cgo

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// moduleEnv names the module where a URI does not.
const moduleEnv = "PKCS11_MODULE_PATH"

// module is a loaded PKCS #11 library.
type module struct {
	*pkcs11.Ctx
	path string
}

// slot is a token that is present.
type slot struct {
	id   uint
	info pkcs11.TokenInfo
}

// session is one conversation with one token.
type session struct {
	module
	slot
	handle pkcs11.SessionHandle
	logged bool
}

func openModule(uri tokenuri.URI) (module, error) {
	path := uri.Module
	if path == "" {
		path = os.Getenv(moduleEnv)
	}
	if path == "" {
		return module{}, fmt.Errorf("which PKCS #11 module? write ?module-path=/PATH.so after the reference, or set %s; SoftHSM's is /usr/lib/softhsm/libsofthsm2.so", moduleEnv)
	}
	if _, err := os.Stat(path); err != nil {
		return module{}, fmt.Errorf("PKCS #11 module: %w", err)
	}
	p := pkcs11.New(path)
	if p == nil {
		return module{}, fmt.Errorf("%s is not a PKCS #11 module that can be loaded here", path)
	}
	if err := p.Initialize(); err != nil {
		return module{}, fmt.Errorf("starting PKCS #11 module %s: %w", path, explain(err))
	}
	return module{p, path}, nil
}

func (m module) close() {
	_ = m.Finalize() // the process ends; there is nobody to tell
	m.Destroy()
}

// tokens are those that are present and initialised.
func (m module) tokens() ([]slot, error) {
	ids, err := m.GetSlotList(true)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its tokens: %w", m.path, explain(err))
	}
	var all []slot
	for _, id := range ids {
		info, err := m.GetTokenInfo(id)
		if err == nil && info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 {
			all = append(all, slot{id, info})
		}
	}
	return all, nil
}

func (s slot) fits(uri tokenuri.URI) bool {
	for _, a := range []struct{ want, have string }{
		{uri.Token, s.info.Label}, {uri.Serial, s.info.SerialNumber}, {uri.Manufacturer, s.info.ManufacturerID}, {uri.Model, s.info.Model},
	} {
		if a.want != "" && a.want != strings.TrimRight(a.have, " \x00") {
			return false
		}
	}
	return true
}

// token is the one that the URI names.
func (m module) token(uri tokenuri.URI) (slot, error) {
	all, err := m.tokens()
	if err != nil {
		return slot{}, err
	}
	var fit []slot
	for _, s := range all {
		if s.fits(uri) {
			fit = append(fit, s)
		}
	}
	switch len(fit) {
	case 0:
		return slot{}, fmt.Errorf("the token is not there: is it plugged in? %s shows %s", m.path, labels(all))
	case 1:
		return fit[0], nil
	}
	return slot{}, fmt.Errorf("more than one token fits: %s; name one by token= or serial=", labels(fit))
}

func labels(all []slot) string {
	if len(all) == 0 {
		return "no token at all"
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = fmt.Sprintf("token=%q (serial %s)", strings.TrimRight(s.info.Label, " \x00"), s.info.SerialNumber)
	}
	return strings.Join(names, ", ")
}

// withSession talks to the token of a URI. With change, somebody logs in who may use private keys.
func withSession(uri tokenuri.URI, change bool, talk func(*session) error) error {
	m, err := openModule(uri)
	if err != nil {
		return err
	}
	defer m.close()
	t, err := m.token(uri)
	if err != nil {
		return err
	}
	s, err := m.session(t)
	if err != nil {
		return err
	}
	defer m.CloseSession(s.handle)
	if pin, err := pinOf(uri); err != nil {
		return err
	} else if err := s.login(pin, change); err != nil {
		return err
	}
	return talk(s)
}

func (m module) session(t slot) (*session, error) {
	handle, err := m.OpenSession(t.id, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	// A token that is write-protected still signs.
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_TOKEN_WRITE_PROTECTED)) {
		handle, err = m.OpenSession(t.id, pkcs11.CKF_SERIAL_SESSION)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the token: %w", explain(err))
	}
	return &session{module: m, slot: t, handle: handle}, nil
}

// pinOf is the PIN that was given; nil if none was.
func pinOf(uri tokenuri.URI) ([]byte, error) {
	if uri.PINFile == "" {
		if pin, ok := os.LookupEnv(tokenuri.PINEnv); ok {
			return []byte(pin), nil
		}
		return nil, nil
	}
	f, err := os.Open(uri.PINFile)
	if err != nil {
		return nil, fmt.Errorf("pin-source: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("pin-source: %w", err)
	}
	if st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("pin-source %s can be read by others; run: chmod 600 %s", uri.PINFile, uri.PINFile)
	}
	pin, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return nil, fmt.Errorf("pin-source: %w", err)
	}
	return bytes.TrimRight(pin, "\r\n"), nil
}

// login gives the PIN to the token, once.
func (s *session) login(pin []byte, must bool) error {
	wants := s.info.Flags&pkcs11.CKF_LOGIN_REQUIRED != 0
	onDevice := s.info.Flags&pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH != 0
	switch {
	case !wants || !must && pin == nil:
		return nil
	case len(pin) == 0 && !onDevice:
		return fmt.Errorf("%sthe token wants its PIN, and there is none: use pin-source=file:/PATH in the reference, or %s", tokenuri.WantsPIN, tokenuri.PINEnv)
	}
	err := s.Login(s.handle, pkcs11.CKU_USER, string(pin))
	switch code := pkcs11.Error(0); {
	case err == nil, errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)):
		s.logged = true
		return nil
	case errors.As(err, &code) && (code == pkcs11.CKR_PIN_INCORRECT || code == pkcs11.CKR_PIN_LEN_RANGE || code == pkcs11.CKR_PIN_INVALID):
		return fmt.Errorf("%sthe token refused the PIN%s", tokenuri.WrongPIN, s.tries())
	case errors.As(err, &code) && code == pkcs11.CKR_PIN_LOCKED:
		return fmt.Errorf("%sthe token is locked after too many wrong PINs; its security officer can set a new one", tokenuri.WrongPIN)
	}
	return fmt.Errorf("logging in to the token: %w", explain(err))
}

// tries says what the token tells of the tries that are left.
func (s *session) tries() string {
	info, err := s.GetTokenInfo(s.id)
	switch {
	case err != nil:
		return ""
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return " and is locked now; its security officer can set a new one"
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return "; ONE try is left before it locks itself"
	case info.Flags&pkcs11.CKF_USER_PIN_COUNT_LOW != 0:
		return "; it locks itself after a few wrong ones"
	}
	return "; most tokens lock themselves after three wrong ones"
}

// explain says what the user can do about some codes.
func explain(err error) error {
	code := pkcs11.Error(0)
	if !errors.As(err, &code) {
		return err
	}
	switch code {
	case pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_SESSION_HANDLE_INVALID:
		return fmt.Errorf("the token was removed: plug it in and run the command again: %w", err)
	case pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_MEMORY, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED:
		return fmt.Errorf("the token failed: plug it in anew, or look at its own log: %w", err)
	case pkcs11.CKR_MECHANISM_INVALID:
		return fmt.Errorf("the token cannot do this; most cannot do ed25519: use ecdsa-p256: %w", err)
	}
	return err
}
