package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// file is a file of an archive.
type file struct {
	name    string // with slashes
	mode    fs.FileMode
	content []byte
}

// documents are the files of the repository that every archive has.
var documents = []string{"LICENSE", "README.md", "CHANGELOG.md", "config.example.yaml"}

// writeArchives writes an archive for each platform: the program, licences, manual pages, completions, and on Linux the unit.
func (r *release) writeArchives() error {
	licences, err := r.thirdParty()
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.licences(), licences, 0o644); err != nil {
		return err
	}
	common, err := r.readFiles(r.root, documents...)
	if err != nil {
		return err
	}
	pages, err := readTree(r.pages())
	if err != nil {
		return err
	}
	common = append(append(common, pages...), file{"LICENSES-THIRD-PARTY", 0o644, licences})
	for _, p := range platforms {
		program, err := os.ReadFile(r.binary(p))
		if err != nil {
			return err
		}
		files := append(slices.Clone(common), file{p.program(), 0o755, program})
		if p.os == "linux" {
			more, err := r.readFiles(r.root, "bpf/LICENSE", "deploy/systemd/redis-observer.service", "deploy/prometheus/alerts.yaml", "deploy/prometheus/rules.yaml", "deploy/grafana/redis-observer.json")
			if err != nil {
				return err
			}
			files = append(files, more...)
		}
		name := "redis-observer_" + r.version + "_" + p.String()
		if p.os == "windows" {
			err = writeZip(r.artefact("%s.zip", name), name, files, r.time)
		} else {
			err = writeTar(r.artefact("%s.tar.gz", name), name, files, r.time)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// licences returns the path of the licences of other modules.
func (r *release) licences() string { return filepath.Join(r.work, "LICENSES-THIRD-PARTY") }

func (r *release) readFiles(folder string, names ...string) ([]file, error) {
	files := make([]file, 0, len(names))
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, 0o644, content})
	}
	return files, nil
}

// readTree reads all regular files below a folder.
func readTree(folder string) (files []file, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		files = append(files, file{filepath.ToSlash(name), 0o644, content})
		return err
	})
	return files, err
}

func sorted(files []file) []file {
	return slices.SortedFunc(slices.Values(files), func(a, b file) int { return strings.Compare(a.name, b.name) })
}

// writeTar writes files below a folder into a compressed archive.
func writeTar(path, folder string, files []file, modified time.Time) error {
	return create(path, func(w io.Writer) error {
		compressed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		archive := tar.NewWriter(compressed)
		for _, f := range sorted(files) {
			header := &tar.Header{
				Typeflag: tar.TypeReg, Name: folder + "/" + f.name, Mode: int64(f.mode), Size: int64(len(f.content)),
				ModTime: modified, Format: tar.FormatUSTAR,
			}
			if err := archive.WriteHeader(header); err != nil {
				return err
			}
			if _, err := archive.Write(f.content); err != nil {
				return err
			}
		}
		if err := archive.Close(); err != nil {
			return err
		}
		return compressed.Close()
	})
}

// writeZip is writeTar for Windows.
func writeZip(path, folder string, files []file, modified time.Time) error {
	return create(path, func(w io.Writer) error {
		archive := zip.NewWriter(w)
		for _, f := range sorted(files) {
			header := &zip.FileHeader{Name: folder + "/" + f.name, Method: zip.Deflate, Modified: modified}
			header.SetMode(f.mode)
			out, err := archive.CreateHeader(header)
			if err != nil {
				return err
			}
			if _, err := out.Write(f.content); err != nil {
				return err
			}
		}
		return archive.Close()
	})
}

// create writes a file by a function.
func create(path string, write func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(out); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
