package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile matches the files of a module that its licence asks to be passed on.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)`)

// thirdParty returns the licences of all modules that are linked into the program on a platform, and of Go itself.
func (r *release) thirdParty() ([]byte, error) {
	folders, err := r.modules()
	if err != nil {
		return nil, err
	}
	toolchain, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find Go: %w", err)
	}
	folders["Go"] = strings.TrimSpace(string(toolchain))
	return collectLicences(folders)
}

// modules returns the folders of all modules that are linked into the program on a platform, by name and version.
func (r *release) modules() (map[string]string, error) {
	folders := map[string]string{}
	for _, p := range platforms {
		command := exec.Command("go", "list", "-deps", "-json=Module", "./cmd/redis-observer")
		command.Dir, command.Env, command.Stderr = r.root, environment(p), os.Stderr
		listed, err := command.Output()
		if err != nil {
			return nil, fmt.Errorf("list modules: %w", err)
		}
		for decoder := json.NewDecoder(bytes.NewReader(listed)); ; {
			var p struct {
				Module *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			err := decoder.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("list modules: %w", err)
			}
			if p.Module != nil && !p.Module.Main {
				folders[p.Module.Path+" "+p.Module.Version] = p.Module.Dir
			}
		}
	}
	return folders, nil
}

// collectLicences joins the licences of modules, by name and folder. A module without one is an error.
func collectLicences(folders map[string]string) ([]byte, error) {
	names := make([]string, 0, len(folders))
	for name := range folders {
		names = append(names, name)
	}
	slices.Sort(names)
	var text bytes.Buffer
	for _, name := range names {
		entries, err := os.ReadDir(folders[name])
		if err != nil {
			return nil, err
		}
		found := false
		for _, entry := range entries {
			if !entry.Type().IsRegular() || !licenceFile.MatchString(entry.Name()) {
				continue
			}
			content, err := os.ReadFile(filepath.Join(folders[name], entry.Name()))
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&text, "%s\n%s: %s\n\n%s\n\n", strings.Repeat("=", 80), name, entry.Name(), bytes.TrimSpace(content))
			found = true
		}
		if !found {
			return nil, fmt.Errorf("%s has no licence in %s", name, folders[name])
		}
	}
	return text.Bytes(), nil
}
