package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is whom the image runs as. Kubernetes' manifests, and users that want probes, start it as root instead: only root receives
// added capabilities. The observer then becomes this user (internal/privilege).
const user = "65521:65521"

// writeImage writes an OCI image for both architectures as a layout in an archive, and its digest. A registry takes it by
// `skopeo copy oci-archive:FILE docker://…` or `crane push`.
func (r *release) writeImage() error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range linux {
		image, err := r.image(p)
		if err != nil {
			return fmt.Errorf("image for %s: %w", p, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: p.os, Architecture: p.arch},
		}})
	}
	annotated, ok := mutate.Annotations(index, r.labels()).(v1.ImageIndex)
	if !ok {
		return fmt.Errorf("annotate index: %T is no index", index)
	}
	folder := filepath.Join(r.work, "image")
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	// Tools name the image in an archive by this annotation.
	name := map[string]string{"org.opencontainers.image.ref.name": r.version}
	if err := path.AppendIndex(annotated, layout.WithAnnotations(name)); err != nil {
		return err
	}
	digest, err := annotated.Digest()
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.artefact("redis-observer_%s_image.digest", r.version), []byte(digest.String()+"\n"), 0o644); err != nil {
		return err
	}
	files, err := readTree(folder)
	if err != nil {
		return err
	}
	return create(r.artefact("redis-observer_%s_image.tar", r.version), func(w io.Writer) error { return r.writeLayout(w, files) })
}

// image is the image of one architecture: one file, no shell, no library.
func (r *release) image(p platform) (v1.Image, error) {
	program, err := os.ReadFile(r.binary(p))
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "redis-observer", Mode: 0o755, Size: int64(len(program)), ModTime: r.time, Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := archive.Write(program); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{
		Author: "redis-observer", Created: v1.Time{Time: r.time}, CreatedBy: "make release",
	}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created, config.OS, config.Architecture = v1.Time{Time: r.time}, p.os, p.arch
	config.Config = v1.Config{
		User: user, Entrypoint: []string{"/redis-observer"}, Labels: r.labels(), WorkingDir: "/",
		ExposedPorts: map[string]struct{}{"9479/tcp": {}},
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, err
	}
	annotated, ok := mutate.Annotations(image, r.labels()).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("annotate image: %T is no image", image)
	}
	return annotated, nil
}

func (r *release) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         "redis-observer",
		"org.opencontainers.image.description":   "Prometheus metrics for Redis traffic, by eBPF",
		"org.opencontainers.image.licenses":      "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)",
		"org.opencontainers.image.source":        homepage,
		"org.opencontainers.image.url":           homepage,
		"org.opencontainers.image.documentation": homepage + "/tree/main/docs",
		"org.opencontainers.image.version":       r.version,
		"org.opencontainers.image.revision":      r.revision,
		"org.opencontainers.image.created":       r.time.Format("2006-01-02T15:04:05Z"),
	}
}

// writeLayout packs a layout; the layers in it are compressed already.
func (r *release) writeLayout(w io.Writer, files []file) error {
	archive := tar.NewWriter(w)
	for _, f := range sorted(files) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: r.time, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.content); err != nil {
			return err
		}
	}
	return archive.Close()
}
