package kit

import (
	"bytes"
	"sync"
)

// Output keeps what is written to it, to be read meanwhile. It is safe for use by any goroutine; its zero value is empty.
type Output struct {
	lock sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(text []byte) (int, error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.Write(text)
}

// String returns all that was written.
func (o *Output) String() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.String()
}
