package signer

import (
	"errors"
	"fmt"
)

// ErrRefused is in the chain of every error that says: this input is not valid, or must not be used so.
// Repeating the command does not help.
var ErrRefused = errors.New("refused")

// ErrUnsigned is in the chain of the error that says: everything is in order but signatures are still missing.
var ErrUnsigned = errors.New("signatures are still missing")

// refusal carries its own message; ErrRefused is only for errors.Is.
type refusal struct{ error }

func (r refusal) Is(target error) bool { return target == ErrRefused }
func (r refusal) Unwrap() error        { return r.error }

func refuse(format string, args ...any) error {
	return refusal{fmt.Errorf(format, args...)}
}
