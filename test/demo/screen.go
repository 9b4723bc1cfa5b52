package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// screen shows a text in the place of the one before on a terminal, and below it elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	lines    int
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if file, ok := out.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
		s.terminal = err == nil
	}
	return s
}

// width returns the width of the terminal, 0 if it is unknown.
func (s *screen) width() int {
	file, ok := s.out.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

func (s *screen) show(text string) {
	if s.terminal && s.lines > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.lines)
	}
	fmt.Fprint(s.out, text)
	s.lines = strings.Count(text, "\n")
	if !s.terminal {
		fmt.Fprintln(s.out)
	}
}
