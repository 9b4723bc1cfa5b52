// Package plainfile reads small files that an administrator wrote, and nothing else.
//
// What a path names may change while the process runs. A FIFO would block the reader for ever, a device may do anything, and a file
// without end takes all memory; so they are refused. Links are followed, as Kubernetes needs them. All functions are safe for use by any goroutine.
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

// Limit is the size of the largest file that is read, in bytes. It is that of a ConfigMap.
const Limit = 1 << 20

// readAgain is how often a file that keeps changing while it is read is read anew.
const readAgain = 10

var (
	errSize     = fmt.Errorf("is larger than %d KiB", Limit>>10)
	errChanging = errors.New("keeps changing while it is read")
)

// Check returns nil if Read would read the file at path: it is there, regular, not too large, and may be opened. It does not wait.
func Check(path string) error {
	file, _, err := open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// Read returns the contents of the regular file at path as they were at one moment, as far as time and size of the file tell.
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

// open opens what is regular. It looks before, because opening alone does something to some devices, and behind, because it may have been replaced.
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
