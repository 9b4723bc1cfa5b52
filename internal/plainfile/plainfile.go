// Package plainfile reads small regular files of an administrator, and rejects everything else.
//
// The file at a path may be replaced while the process runs. A FIFO would block the reader, a
// device may have side effects, and an endless file would exhaust memory. Symbolic links are
// followed, because Kubernetes needs them. All functions are safe for concurrent use.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Limit is the maximum size of a file in bytes, that of a ConfigMap.
const Limit = 1 << 20

// readAgain is how often Read retries a file that changes while it is read.
const readAgain = 10

var (
	errSize     = fmt.Errorf("is larger than %d KiB", Limit>>10)
	errChanging = errors.New("keeps changing while it is read")
)

// Check returns nil if Read would read the file at path: it exists, is regular, not too large, and
// can be opened. It does not block.
func Check(path string) error {
	file, _, err := open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// Read returns a consistent copy of the regular file at path, as far as its size and modification
// time show.
func Read(path string) ([]byte, error) {
	for range readAgain {
		text, steady, err := read(path)
		if err != nil || steady {
			return text, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, &fs.PathError{Op: "read", Path: path, Err: errChanging}
}

func read(path string) (text []byte, steady bool, err error) {
	file, before, err := open(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	text, err = io.ReadAll(io.LimitReader(file, Limit+1))
	if err != nil {
		return nil, false, err
	}
	if len(text) > Limit {
		return nil, false, &fs.PathError{Op: "read", Path: path, Err: errSize}
	}
	after, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	return text, after.Size() == int64(len(text)) && after.ModTime().Equal(before.ModTime()), nil
}

// open opens a regular file. It checks before opening, because opening some devices has side
// effects, and after, because the file may have been replaced.
func open(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if err := acceptable(path, info); err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err = file.Stat()
	if err == nil {
		err = acceptable(path, info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

func acceptable(path string, info fs.FileInfo) error {
	var err error
	switch mode := info.Mode(); {
	case mode.IsDir():
		err = syscall.EISDIR
	case !mode.IsRegular():
		err = fmt.Errorf("is %s, not a regular file", kindName(mode))
	case info.Size() > Limit:
		err = errSize
	}
	if err != nil {
		return &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return nil
}

func kindName(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}
