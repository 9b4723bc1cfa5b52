package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// scripts are where the programs lie that use clients of other languages.
const scripts = "test/truth/clients"

// fetchNode brings the libraries of package.json into the cache.
func (s *suite) fetchNode(ctx context.Context, stderr io.Writer) error {
	folder := filepath.Join(s.cache, "npm")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	list, err := os.ReadFile(filepath.Join(scripts, "package.json"))
	if err != nil {
		return err
	}
	file := filepath.Join(folder, "package.json")
	if old, err := os.ReadFile(file); err == nil && string(old) == string(list) {
		return nil
	}
	if err := writeFile(file, string(list)); err != nil {
		return err
	}
	if err := command(ctx, stderr, "npm", "--prefix", folder, "install", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
		return errors.Join(err, os.Remove(file)) // so that the next run tries again
	}
	return nil
}

// nodeScript runs a script of the folder with Node.js.
func nodeScript(name string) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		script, err := os.ReadFile(filepath.Join(scripts, name))
		if err != nil {
			return err
		}
		// Node.js looks for modules beside the script.
		file := filepath.Join(r.cache, "npm", name)
		if err := os.WriteFile(file, script, 0o600); err != nil {
			return err
		}
		return r.script(ctx, node(r, file, r.transport.url(r.Redis), fmt.Sprint(r.server.version)))
	}
}

func node(_ *round, script string, arguments ...string) *exec.Cmd {
	return trusting(exec.Command("node", append([]string{script}, arguments...)...))
}

// pythonScript runs a part of the script that uses redis-py.
func pythonScript(part string) func(context.Context, *round) error {
	return func(ctx context.Context, r *round) error {
		script, err := filepath.Abs(filepath.Join(scripts, "redis_py.py"))
		if err != nil {
			return err
		}
		return r.script(ctx, python(r, script, r.transport.url(r.Redis), fmt.Sprint(r.server.version), part))
	}
}

func python(r *round, script string, arguments ...string) *exec.Cmd {
	c := trusting(exec.Command("python3", append([]string{script}, arguments...)...))
	c.Env = append(c.Env, "PYTHONPATH="+filepath.Join(r.cache, "python/usr/lib/python3/dist-packages"))
	return c
}

// phpScript runs the script that uses phpredis.
func phpScript(ctx context.Context, r *round) error {
	script, err := filepath.Abs(filepath.Join(scripts, "phpredis.php"))
	if err != nil {
		return err
	}
	return r.script(ctx, php(r, script, r.transport.url(r.Redis), fmt.Sprint(r.server.version)))
}

func php(r *round, script string, arguments ...string) *exec.Cmd {
	root := filepath.Join(r.cache, "php")
	options := []string{
		"-n", "-d", "extension_dir=" + filepath.Join(root, "usr/lib/php/20220829"), "-d", "zend.assertions=1",
		"-d", "openssl.cafile=" + certificate.File, "-d", "extension=igbinary", "-d", "extension=redis", script,
	}
	return withLibraries(root, filepath.Join(root, "usr/bin/php8.2"), append(options, arguments...)...)
}

// withLibraries returns the command line of a program that runs by the C library and the others of a fetched root, if it has one.
func withLibraries(root, program string, arguments ...string) *exec.Cmd {
	libraries := []string{filepath.Join(root, "lib/x86_64-linux-gnu"), filepath.Join(root, "usr/lib/x86_64-linux-gnu")}
	for _, folder := range libraries {
		linker := filepath.Join(folder, "ld-linux-x86-64.so.2")
		if _, err := os.Stat(linker); err != nil {
			continue
		}
		return exec.Command(linker, append([]string{"--library-path", strings.Join(libraries, ":"), program}, arguments...)...)
	}
	return exec.Command(filepath.Base(program), arguments...)
}

// hiredis compiles and runs two programs: the example that comes with the library and speaks TCP only, and ours with what that one
// leaves out.
func hiredis(ctx context.Context, r *round) error {
	root := filepath.Join(r.cache, "hiredis/usr")
	ours, err := filepath.Abs(filepath.Join(scripts, "hiredis.c"))
	if err != nil {
		return err
	}
	sources := []string{ours}
	if r.transport.name == "tcp" {
		sources = append(sources, filepath.Join(root, "share/doc/libhiredis-dev/examples/example.c"))
	}
	for _, source := range sources {
		binary := filepath.Join(r.folder, "hiredis-"+strings.TrimSuffix(filepath.Base(source), ".c"))
		compiler := exec.Command("cc", "-I", filepath.Join(root, "include/hiredis"), "-I", filepath.Join(root, "include"),
			"-o", binary, source, filepath.Join(root, "lib/x86_64-linux-gnu/libhiredis.a"))
		if _, err := r.execute(ctx, compiler, ""); err != nil {
			return err
		}
		if _, err := r.execute(ctx, exec.Command(binary, hiredisAddress(r)...), ""); err != nil {
			return err
		}
	}
	return nil
}

// hiredisAddress is the address as our program takes it: a host and a port, or a path and the word unix.
func hiredisAddress(r *round) []string {
	if r.transport.name == "unix" {
		return []string{r.Socket, "unix"}
	}
	return []string{"127.0.0.1", strconv.Itoa(r.Port)}
}

// hiredisSSL compiles and runs our program with TLS, with the C library that hiredis came with.
func hiredisSSL(ctx context.Context, r *round) error {
	c, err := hiredisProgram(ctx, r)
	if err != nil {
		return err
	}
	_, err = r.execute(ctx, c, "")
	return err
}

// hiredisToucher is our program, told to touch.
func hiredisToucher(ctx context.Context, r *round) (*exec.Cmd, error) {
	return hiredisProgram(ctx, r, "touch")
}

func hiredisProgram(ctx context.Context, r *round, arguments ...string) (*exec.Cmd, error) {
	root := filepath.Join(r.cache, "hiredis-ssl")
	source, err := filepath.Abs(filepath.Join(scripts, "hiredis.c"))
	if err != nil {
		return nil, err
	}
	binary, libraries := filepath.Join(r.folder, "hiredis-ssl"), filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	// Its libraries want symbols of their own C library, which is there when the program runs.
	compiler := exec.Command("cc", "-DTLS", "-I", filepath.Join(root, "usr/include/hiredis"), "-o", binary, source,
		"-L", libraries, "-lhiredis_ssl", "-lhiredis", "-Wl,--allow-shlib-undefined")
	if _, err := r.execute(ctx, compiler, ""); err != nil {
		return nil, err
	}
	return withLibraries(root, binary, append([]string{"127.0.0.1", strconv.Itoa(r.Port), certificate.File}, arguments...)...), nil
}

// script runs a program that prints what its scripts do.
func (r *round) script(ctx context.Context, c *exec.Cmd) error {
	out, err := r.execute(ctx, c, "")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		var label string
		var calls, failures int
		if _, err := fmt.Sscanf(line, "inner %s %d %d", &label, &calls, &failures); err == nil {
			r.allow(scriptInner, label, exactly(calls), exactly(failures))
		}
		var because string
		if _, err := fmt.Sscanf(line, "misses %s %d %s", &label, &calls, &because); err == nil {
			e, err := exceptionOf(because)
			if err != nil {
				return err
			}
			r.allowMisses(e, label, exactly(calls))
		}
	}
	return nil
}

func writeFile(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }
