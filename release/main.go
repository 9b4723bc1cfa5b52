package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	output := flag.String("output", "../dist", "folder to write to; it is replaced")
	flag.Parse()
	if err := run("..", *output); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release is what all parts of a release share.
type release struct {
	source
	root   string // of the repository
	output string // folder with the artefacts
	work   string // folder of intermediate files, removed at the end
	names  []string
}

// run builds a release of the repository at root into output.
func run(root, output string) (err error) {
	r := &release{}
	if r.root, err = filepath.Abs(root); err != nil {
		return err
	}
	if r.output, err = filepath.Abs(output); err != nil {
		return err
	}
	if r.source, err = readSource(r.root); err != nil {
		return err
	}
	if err := os.RemoveAll(r.output); err != nil {
		return err
	}
	if err := os.MkdirAll(r.output, 0o755); err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp("", "redis-observer-release"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	fmt.Printf("release %s of %s\n", r.version, r.revision)
	for _, step := range []func() error{r.buildBinaries, r.writePages, r.writeArchives, r.writePackages, r.writeImage, r.writeChart, r.writeMaterials, r.writeSums} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// artefact returns the path of an artefact in the output, and lists it in the checksums.
func (r *release) artefact(format string, values ...any) string {
	name := fmt.Sprintf(format, values...)
	r.names = append(r.names, name)
	fmt.Println("  " + name)
	return filepath.Join(r.output, name)
}
