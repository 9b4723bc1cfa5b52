//go:build !amd64 && !arm64

package privilege

import "errors"

// Filter is not supported on this architecture.
func Filter(bool) error { return errors.New("system calls are not filtered on this architecture") }
