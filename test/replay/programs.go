package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// decodeArgument makes this program find the segments of a capture by gopacket.
const decodeArgument = "decode"

// program reads a capture.
type program struct {
	name    string
	command func(file string) *exec.Cmd
	check   func(output string, l load) error // nil: its success is enough
}

// installed returns the programs that there are. The observer comes first.
func installed(observer string) ([]program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	all := []program{
		{"redis-observer replay", func(file string) *exec.Cmd { return exec.Command(observer, "replay", file) }, countsAll},
		{"gopacket, decoding only", func(file string) *exec.Cmd { return exec.Command(self, decodeArgument, file) }, nil},
		{"tcpdump -w, copying only", func(file string) *exec.Cmd { return exec.Command("tcpdump", "-r", file, "-w", os.DevNull) }, nil},
		{"tshark -z io,stat,0,resp", func(file string) *exec.Cmd { return exec.Command("tshark", "-r", file, "-q", "-z", "io,stat,0,resp") }, nil},
	}
	var there []program
	for _, p := range all {
		if p.command("").Err == nil {
			there = append(there, p)
		}
	}
	return there, nil
}

// countsAll: a figure is of use only if the result is right.
func countsAll(output string, l load) error {
	want := fmt.Sprintf(`redis_commands_total{command="get",name="default",status="success"} %s`, metricValue(l.commands()))
	if !strings.Contains(output, want+"\n") {
		return errors.New("its output lacks " + want)
	}
	return nil
}

// metricValue is how the text format writes a number.
func metricValue(n int) string {
	if n < 1e6 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%g", float64(n))
}

// run returns the CPU time that the program used.
func (p program) run(file string, l load) (time.Duration, error) {
	command := p.command(file)
	command.Env = append(os.Environ(), "GOMAXPROCS=1")
	var output, stderr bytes.Buffer
	command.Stdout, command.Stderr = &output, &stderr
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, stderr.String())
	}
	if p.check != nil {
		if err := p.check(output.String(), l); err != nil {
			return 0, err
		}
	}
	return command.ProcessState.UserTime() + command.ProcessState.SystemTime(), nil
}

// decode reads the packets of a capture by gopacket's fastest way.
func decode(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(bufio.NewReaderSize(file, 256<<10))
	if err != nil {
		return err
	}
	var (
		ethernet layers.Ethernet
		ip       layers.IPv4
		tcp      layers.TCP
		payload  gopacket.Payload
		decoded  []gopacket.LayerType
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ethernet, &ip, &tcp, &payload)
	for {
		data, _, err := reader.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := parser.DecodeLayers(data, &decoded); err != nil {
			return err
		}
	}
}
