package artefacts

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mustUntar reads the regular files of a compressed archive.
func mustUntar(tb testing.TB, path string) map[string][]byte {
	tb.Helper()
	file, err := os.Open(path)
	require.NoError(tb, err)
	defer file.Close()
	uncompressed, err := gzip.NewReader(file)
	require.NoError(tb, err)
	return mustReadTar(tb, uncompressed)
}

func mustReadTar(tb testing.TB, r io.Reader) map[string][]byte {
	tb.Helper()
	files := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(tb, err)
		if header.Typeflag == tar.TypeReg {
			files[header.Name], err = io.ReadAll(archive)
			require.NoError(tb, err)
		}
	}
}

func mustUnzip(tb testing.TB, path string) map[string][]byte {
	tb.Helper()
	archive, err := zip.OpenReader(path)
	require.NoError(tb, err)
	defer archive.Close()
	files := map[string][]byte{}
	for _, f := range archive.File {
		r, err := f.Open()
		require.NoError(tb, err)
		files[f.Name], err = io.ReadAll(r)
		require.NoError(tb, err)
	}
	return files
}

// In every archive: the program for its platform, without libraries, and what belongs to it.
func TestArchives(t *testing.T) {
	for _, platform := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64"} {
		t.Run(platform, func(t *testing.T) {
			var files map[string][]byte
			program := "redis-observer"
			if strings.HasPrefix(platform, "windows") {
				files, program = mustUnzip(t, mustFind(t, "redis-observer_*_"+platform+".zip")), "redis-observer.exe"
			} else {
				files = mustUntar(t, mustFind(t, "redis-observer_*_"+platform+".tar.gz"))
			}
			folder := "redis-observer_" + mustVersion(t) + "_" + platform + "/"
			for _, name := range []string{"LICENSE", "LICENSES-THIRD-PARTY", "README.md", "CHANGELOG.md", "config.example.yaml", "man/redis-observer.8",
				"man/redis-observer-replay.8", "completions/redis-observer.bash", "completions/_redis-observer", "completions/redis-observer.fish"} {
				assert.NotEmpty(t, files[folder+name], name)
			}
			assert.Contains(t, string(files[folder+"LICENSES-THIRD-PARTY"]), "github.com/cilium/ebpf")
			assertProgram(t, platform, files[folder+program])
		})
	}
}

func assertProgram(t *testing.T, platform string, program []byte) {
	t.Helper()
	r := bytes.NewReader(program)
	switch platform {
	case "darwin_amd64", "darwin_arm64":
		f, err := macho.NewFile(r)
		require.NoError(t, err)
		assert.Equal(t, platform == "darwin_arm64", f.Cpu == macho.CpuArm64)
	case "windows_amd64":
		f, err := pe.NewFile(r)
		require.NoError(t, err)
		assert.EqualValues(t, pe.IMAGE_FILE_MACHINE_AMD64, f.Machine)
	default:
		f, err := elf.NewFile(r)
		require.NoError(t, err)
		libraries, err := f.ImportedLibraries()
		require.NoError(t, err)
		assert.Empty(t, libraries)
		assert.Nil(t, f.Section(".interp"), "it is static")
		assert.Equal(t, platform == "linux_arm64", f.Machine == elf.EM_AARCH64)
	}
}

// The archive as the README says: unpack, check, run.
func TestArchiveRuns(t *testing.T) {
	folder := t.TempDir()
	mustOutput(t, "tar", "-xzf", mustFind(t, "redis-observer_*_linux_amd64.tar.gz"), "-C", folder, "--strip-components=1")
	program := filepath.Join(folder, "redis-observer")
	for _, argument := range []string{"version", "--version"} {
		assert.Contains(t, mustOutput(t, program, argument), "redis-observer "+mustVersion(t)+" (go")
	}
	output, _ := exec.Command(program, "check", "--config", filepath.Join(folder, "config.example.yaml"), "--output", "json").Output() // 1 where no backend works
	var verdict struct {
		Configuration struct{ Valid bool }
	}
	require.NoError(t, json.Unmarshal(output, &verdict), "%s", output)
	assert.True(t, verdict.Configuration.Valid)
	capture, err := filepath.Abs(root + "/test/demo/traffic.pcap.gz")
	require.NoError(t, err)
	assert.Contains(t, mustOutput(t, program, "replay", "--ports", "26399", capture), "redis_commands_total{")
	mustOutput(t, "bash", "-nc", ". "+filepath.Join(folder, "completions/redis-observer.bash"))
	if man, err := exec.LookPath("man"); err == nil {
		assert.Contains(t, mustOutput(t, man, "--warnings", "-l", filepath.Join(folder, "man/redis-observer.8")), "redis-observer")
	}
}

// Each bill of materials names all modules of the program with licences, and Go.
func TestBillsOfMaterials(t *testing.T) {
	for _, architecture := range []string{"amd64", "arm64"} {
		text, err := os.ReadFile(mustFind(t, "redis-observer_*_linux_"+architecture+".cdx.json"))
		require.NoError(t, err)
		var bom struct {
			BOMFormat, SerialNumber string
			Metadata                struct{ Component struct{ Version string } }
			Components              []struct {
				Name, Version, PURL string
				Evidence            struct{ Licenses []any }
			}
		}
		require.NoError(t, json.Unmarshal(text, &bom))
		assert.Equal(t, "CycloneDX", bom.BOMFormat)
		assert.True(t, strings.HasPrefix(bom.SerialNumber, "urn:uuid:"))
		assert.Equal(t, "v"+mustVersion(t), bom.Metadata.Component.Version)
		names := map[string]bool{}
		for _, c := range bom.Components {
			names[c.Name] = true
			assert.NotEmpty(t, c.PURL, c.Name)
			if c.Name != "std" {
				assert.NotEmpty(t, c.Evidence.Licenses, c.Name)
			}
		}
		for _, name := range []string{"github.com/cilium/ebpf", "github.com/prometheus/client_golang", "std"} {
			assert.True(t, names[name], name)
		}
	}
}
