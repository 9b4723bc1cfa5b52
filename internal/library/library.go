package library

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Kind is the kind of a library, or of a program that contains one.
type Kind string

const (
	OpenSSL Kind = "openssl" // libssl, or a program with OpenSSL inside, or what has the same functions
	Crypto  Kind = "libcrypto"
	Go      Kind = "go" // a program with Go's crypto/tls
)

// Library is how the TLS of one file is observed.
type Library struct {
	Kind    Kind
	Version string  // of Go; "" for the others
	Points  []Point // by function, the start before the ends
	BIOs    Counters
	Refused []Refusal // functions that exist but have no points
}

// Point is a place for a probe.
type Point struct {
	Function string // its name: SSL_write, crypto/tls.(*Conn).Read
	End      bool   // the result is in the register of results; otherwise the arguments are in theirs
	Offset   uint64 // of the instruction in the file, in bytes
	Frame    uint16 // the stack pointer at the start of the function less that at the point, in bytes
	Stepped  bool   // the kernel steps the instruction, which costs more, instead of emulating it
}

// Refusal says why a function or a whole file is not observed. It is an error.
type Refusal struct {
	Reason   Reason
	Function string // "" for the file
	Detail   string
}

// Reason is the kind of a refusal, from a closed set, for metrics.
type Reason string

const (
	NoTLS       Reason = "no_tls"      // nothing of the file does TLS in a known way
	NotELF      Reason = "not_elf"     // not a file of programs, or a damaged one
	Machine     Reason = "machine"     // 32-bit, or not amd64 or arm64
	OldGo       Reason = "old_go"      // before Go 1.20
	Symbols     Reason = "symbols"     // the functions cannot be located
	Code        Reason = "code"        // their code is not as expected
	TooLarge    Reason = "too_large"   // its inspection or its probes would cost too much
	Unsupported Reason = "unsupported" // a library without a way to observe it
)

func (r *Refusal) Error() string {
	if r.Function == "" {
		return fmt.Sprintf("%s: %s", r.Reason, r.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", r.Reason, r.Function, r.Detail)
}

// wanted is a function of a library in C.
type wanted struct {
	name      string
	arguments int  // that must be there at the start
	open      bool // only the start is needed
}

// Functions of OpenSSL. SSL_do_handshake and SSL_shutdown are not among them, because they end in a
// jump through a pointer, whose end cannot be seen.
var opensslFunctions = []wanted{
	{name: "SSL_write", arguments: 3},
	{name: "SSL_read", arguments: 3},
	{name: "SSL_write_ex", arguments: 4},
	{name: "SSL_read_ex", arguments: 4},
	{name: "SSL_write_ex2", arguments: 5},
	{name: "SSL_peek", arguments: 1},
	{name: "SSL_peek_ex", arguments: 1},
	{name: "SSL_free", arguments: 1, open: true},
	{name: "SSL_clear", arguments: 1, open: true},
	{name: "SSL_set_bio", arguments: 3, open: true},
	{name: "BIO_write", arguments: 3, open: true},
}

// required are the functions without which a library is not observed.
var required = []string{"SSL_write", "SSL_read"}

// largestText is the size in bytes of the largest text of a result: the file chooses some of them.
const largestText = 248

// mostPoints is how many points a file may have: the kernel keeps memory for each. OpenSSL of Debian
// has 14, that of node 18.
const mostPoints = 256

// Inspect reads an ELF file. It returns a *Refusal if its TLS cannot be observed, and another error
// if the file cannot be read. It keeps no reference to the file. Whatever the file contains, it reads
// at most largestRead bytes of it, and keeps some MiB of memory meanwhile.
func Inspect(file io.ReaderAt) (found *Library, err error) {
	defer func() {
		if fault := recover(); fault != nil { // a fault of this package must not end the attaching process
			found, err = nil, &Refusal{Reason: NotELF, Detail: shortened(fmt.Sprint("inspection failed: ", fault))}
		}
	}()
	return bounded(file)
}

func bounded(file io.ReaderAt) (*Library, error) {
	found, err := search(&meter{file: file, left: largestRead})
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		refusal.Detail = shortened(refusal.Detail)
		return nil, refusal
	case err != nil:
		return nil, err
	case len(found.Points) > mostPoints:
		return nil, &Refusal{Reason: TooLarge, Detail: fmt.Sprintf("it would need %d probes", len(found.Points))}
	}
	found.Version = shortened(found.Version)
	for n := range found.Refused {
		found.Refused[n].Detail = shortened(found.Refused[n].Detail)
	}
	return found, nil
}

func shortened(text string) string { return text[:min(len(text), largestText)] }

func search(file io.ReaderAt) (*Library, error) {
	image, err := open(file)
	if err != nil {
		return nil, err
	}
	if found, err := image.golang(); found != nil || err != nil {
		return found, err
	}
	return image.openssl()
}

// openssl finds OpenSSL's functions by their symbols.
func (i *image) openssl() (*Library, error) {
	names := []string{readCounter, writtenCounter}
	for _, f := range opensslFunctions {
		names = append(names, f.name)
	}
	symbols, err := i.symbols(names)
	if err != nil {
		return nil, err
	}
	found := &Library{Kind: OpenSSL}
	if found.BIOs, err = i.counters(symbols); err != nil {
		return nil, err
	}
	delete(symbols, readCounter)
	delete(symbols, writtenCounter)
	for _, f := range opensslFunctions {
		s, ok := symbols[f.name]
		if !ok {
			continue
		}
		if err := i.add(found, f, s); err != nil {
			return nil, err
		}
	}
	switch {
	case len(found.Points) == 0 && len(found.Refused) == 0:
		return nil, &Refusal{Reason: NoTLS, Detail: "it has none of OpenSSL's functions"}
	case len(symbols) == 1 && found.has("BIO_write"):
		found.Kind = Crypto
		return found, nil
	}
	for _, name := range required {
		if !found.has(name) {
			for _, r := range found.Refused {
				if r.Function == name {
					return nil, &r
				}
			}
			return nil, &Refusal{Reason: Symbols, Function: name, Detail: "it is missing"}
		}
	}
	return found, nil
}

func (l *Library) has(function string) bool {
	return slices.ContainsFunc(l.Points, func(p Point) bool { return p.Function == function })
}

// add adds the points of a function, or why it has none. It returns an error if the file cannot be
// read.
func (i *image) add(l *Library, f wanted, s symbol) error {
	points, err := i.points(f, s)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		l.Refused = append(l.Refused, *refusal)
		return nil
	case err != nil:
		return err
	}
	l.Points = append(l.Points, points...)
	return nil
}

func (i *image) points(f wanted, s symbol) ([]Point, error) {
	refuse := func(reason Reason, detail string) ([]Point, error) {
		return nil, &Refusal{Reason: reason, Function: f.name, Detail: detail}
	}
	if s.size == 0 || s.size > longest {
		return refuse(Symbols, fmt.Sprintf("its size is %d bytes", s.size))
	}
	code, offset, err := i.code(s.address, s.size)
	if err != nil {
		return nil, err
	}
	if code == nil {
		return refuse(Symbols, fmt.Sprintf("there is no code at %#x", s.address))
	}
	c := i.machine.c
	if s.golang {
		c = i.machine.golang
		for len(code) > 1 && i.machine.pad != 0 && code[len(code)-1] == i.machine.pad {
			code = code[:len(code)-1]
		}
	}
	decoded, err := decodeFunction(i.machine, f.name, s.address, code, s.golang)
	if err != nil {
		return refuse(Code, err.Error())
	}
	begin, err := decoded.begin(c.keep(f.arguments))
	if err != nil {
		return refuse(Code, err.Error())
	}
	point := func(s site, end bool) Point {
		return Point{Function: f.name, End: end, Offset: s.address - decoded.start + offset, Frame: s.frame, Stepped: s.stepped}
	}
	points := []Point{point(begin, false)}
	if f.open {
		return points, nil
	}
	ends, err := decoded.ends()
	if err != nil {
		return refuse(Code, err.Error())
	}
	for _, e := range ends {
		points = append(points, point(e, true))
	}
	return points, nil
}
