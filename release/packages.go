package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

const (
	maintainer  = "redis-observer maintainers <redis-observer@users.noreply.github.com>"
	homepage    = "https://github.com/redis-observer/redis-observer"
	description = "Prometheus metrics for Redis traffic, by eBPF\n" +
		"redis-observer is a daemon that observes the Redis traffic of unmodified\n" +
		"programs by kernel probes, and counts every command with its latency and\n" +
		"outcome. It needs Linux 5.8 or later with BTF."
)

// writePackages writes a deb and an rpm for each architecture of Linux.
func (r *release) writePackages() error {
	for _, p := range linux {
		for _, format := range []string{"deb", "rpm"} {
			if err := r.writePackage(p, format); err != nil {
				return fmt.Errorf("package %s for %s: %w", format, p, err)
			}
		}
	}
	return nil
}

func (r *release) writePackage(p platform, format string) error {
	contents, err := r.contents(p, format)
	if err != nil {
		return err
	}
	scripts := filepath.Join(r.root, "deploy/packages", format)
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "redis-observer", Arch: p.arch, Platform: "linux", Version: r.version, Release: "1",
		Section: "net", Priority: "optional", Maintainer: maintainer, Homepage: homepage, Description: description,
		Vendor: "redis-observer", License: "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)", MTime: r.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Contents: contents,
			Scripts: nfpm.Scripts{
				PostInstall: filepath.Join(scripts, "postinst"),
				PreRemove:   filepath.Join(scripts, "prerm"),
				PostRemove:  filepath.Join(scripts, "postrm"),
			},
			RPM: nfpm.RPM{BuildHost: "redis-observer", Summary: strings.SplitN(description, "\n", 2)[0]},
		},
	})
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	return create(r.artefact("redis-observer_%s_linux_%s.%s", r.version, p.arch, format), func(w io.Writer) error {
		return packager.Package(info, w)
	})
}

// contents are the files of a package.
func (r *release) contents(p platform, format string) (files.Contents, error) {
	var all files.Contents
	// add adds a file. An empty kind is a plain file.
	add := func(source, destination, kind string, mode os.FileMode) {
		all = append(all, &files.Content{Source: source, Destination: destination, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.time}})
	}
	// generate adds a file with a text.
	generate := func(destination, kind string, content []byte) error {
		source := filepath.Join(r.work, p.String(), format, destination)
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			return err
		}
		add(source, destination, kind, 0o644)
		return os.WriteFile(source, content, 0o644)
	}
	unit, err := r.unit()
	if err != nil {
		return nil, err
	}
	units := "/usr/lib/systemd/system/redis-observer.service"
	if format == "deb" {
		units = "/lib/systemd/system/redis-observer.service" // before Debian 13 /usr/lib is not searched by Debian's helpers
	}
	if err := generate(units, "", unit); err != nil {
		return nil, err
	}
	add(r.binary(p), "/usr/bin/redis-observer", "", 0o755)
	add(filepath.Join(r.root, "config.example.yaml"), "/etc/redis-observer/observer.yaml", files.TypeConfigNoReplace, 0o644)
	pages, err := readTree(r.pages())
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		source := filepath.Join(r.pages(), page.name)
		switch name := filepath.Base(page.name); name {
		case completions["bash"]:
			add(source, "/usr/share/bash-completion/completions/redis-observer", "", 0o644)
		case completions["zsh"]:
			add(source, "/usr/share/zsh/"+map[string]string{"deb": "vendor-completions", "rpm": "site-functions"}[format]+"/"+name, "", 0o644)
		case completions["fish"]:
			add(source, "/usr/share/fish/vendor_completions.d/"+name, "", 0o644)
		default:
			if filepath.Ext(name) != ".8" {
				continue
			}
			if err := generate("/usr/share/man/man8/"+name+".gz", "", compressed(page.content)); err != nil {
				return nil, err
			}
		}
	}
	if format == "rpm" {
		for _, folder := range []string{"/etc/redis-observer", "/usr/share/licenses/redis-observer"} { // rpm removes only folders of the package
			add("", folder, files.TypeDir, 0o755)
		}
		add(filepath.Join(r.root, "LICENSE"), "/usr/share/licenses/redis-observer/LICENSE", files.TypeRPMLicense, 0o644)
		add(filepath.Join(r.root, "bpf/LICENSE"), "/usr/share/licenses/redis-observer/LICENSE.bpf", files.TypeRPMLicense, 0o644)
		add(r.licences(), "/usr/share/licenses/redis-observer/LICENSES-THIRD-PARTY", files.TypeRPMLicense, 0o644)
		return all, nil
	}
	folder := filepath.Join(r.root, "deploy/packages/deb")
	copyright, err := r.copyright(filepath.Join(folder, "copyright"))
	if err != nil {
		return nil, err
	}
	if err := generate("/usr/share/doc/redis-observer/copyright", "", copyright); err != nil {
		return nil, err
	}
	licences, err := os.ReadFile(r.licences())
	if err != nil {
		return nil, err
	}
	if err := generate("/usr/share/doc/redis-observer/LICENSES-THIRD-PARTY.gz", "", compressed(licences)); err != nil {
		return nil, err
	}
	add(filepath.Join(folder, "lintian-overrides"), "/usr/share/lintian/overrides/redis-observer", "", 0o644)
	changes := fmt.Sprintf("redis-observer (%s) stable; urgency=medium\n\n  * See %s/blob/main/CHANGELOG.md\n\n -- %s  %s\n",
		debianVersion(r.version), homepage, maintainer, r.time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	return all, generate("/usr/share/doc/redis-observer/changelog.Debian.gz", "", compressed([]byte(changes)))
}

// unit is the systemd unit with the path of packages.
func (r *release) unit() ([]byte, error) {
	unit, err := os.ReadFile(filepath.Join(r.root, "deploy/systemd/redis-observer.service"))
	return bytes.ReplaceAll(unit, []byte("/usr/local/bin/"), []byte("/usr/bin/")), err
}

// copyright is the copyright file of Debian with the licence of the probes behind it.
func (r *release) copyright(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	probes, err := os.ReadFile(filepath.Join(r.root, "bpf/LICENSE"))
	return append(append(text, '\n'), probes...), err
}

// debianVersion is a semantic version in the order of Debian, as nfpm writes it: a pre-release comes before its release.
func debianVersion(version string) string {
	version, metadata, dirty := strings.Cut(version, "+")
	version = strings.Replace(version, "-", "~", 1)
	if dirty {
		version += "+" + metadata
	}
	return version + "-1"
}

// compressed packs a text without a name and a time.
func compressed(text []byte) []byte {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is valid, and a buffer takes everything
	_, _ = w.Write(text)
	_ = w.Close()
	return packed.Bytes()
}
