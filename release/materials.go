package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/licensedetect"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/licensedetect/local"
	"github.com/google/uuid"
	"github.com/rs/zerolog"
)

// writeMaterials writes the software bill of materials of the program of each architecture of Linux, with licences.
func (r *release) writeMaterials() error {
	modules, err := r.modules()
	if err != nil {
		return err
	}
	logger := zerolog.New(os.Stderr).Level(zerolog.WarnLevel)
	for _, p := range linux {
		generator, err := bin.NewGenerator(r.binary(p), bin.WithLogger(logger), bin.WithIncludeStdlib(true), bin.WithVersionOverride("v"+r.version))
		if err != nil {
			return err
		}
		bom, err := generator.Generate()
		if err != nil {
			return fmt.Errorf("bill of materials for %s: %w", p, err)
		}
		if err := addLicences(*bom.Components, modules, local.NewDetector(logger)); err != nil {
			return err
		}
		bom.Metadata.Timestamp = r.time.Format(time.RFC3339)
		bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(homepage+"/"+r.version+"/"+r.revision+"/"+p.String())).URN()
		if err := create(r.artefact("redis-observer_%s_%s.cdx.json", r.version, p), func(w io.Writer) error {
			return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
		}); err != nil {
			return err
		}
	}
	return nil
}

// addLicences detects the licence of each module in its folder. The generator would ask a proxy for this repository, too.
func addLicences(components []cdx.Component, folders map[string]string, detector licensedetect.Detector) error {
	for i := range components {
		c := &components[i]
		folder := folders[c.Name+" "+c.Version]
		if folder == "" {
			continue // of Go, whose licence is known, and of what is only linked on other platforms
		}
		found, err := detector.Detect(c.Name, c.Version, folder)
		if err != nil {
			return fmt.Errorf("detect licence of %s: %w", c.Name, err)
		}
		if len(found) == 0 {
			continue // licences of several texts have no identifier; LICENSES-THIRD-PARTY has the texts
		}
		var choices cdx.Licenses
		for _, licence := range found {
			choices = append(choices, cdx.LicenseChoice{License: &licence})
		}
		c.Evidence = &cdx.Evidence{Licenses: &choices}
	}
	return nil
}

// writeSums writes the checksums of all artefacts, for `sha256sum --check`.
func (r *release) writeSums() error {
	var text strings.Builder
	slices.Sort(r.names)
	for _, name := range r.names {
		content, err := os.ReadFile(filepath.Join(r.output, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(content), name)
	}
	return os.WriteFile(r.artefact("SHA256SUMS"), []byte(text.String()), 0o644)
}
