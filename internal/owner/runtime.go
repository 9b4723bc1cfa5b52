package owner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// The files in which runtimes keep the names of containers. Containerd has names of its own for Kubernetes
// alone, which knows them better.
const (
	dockerFolder = "var/lib/docker/containers"                     // a folder for each container
	podmanFolder = "var/lib/containers/storage/overlay-containers" // a file for all of them
	dockerFile   = "config.v2.json"
)

// podmanFiles have the containers that stay, and those that do not survive a restart of the host.
var podmanFiles = []string{"containers.json", "volatile-containers.json"}

const (
	maxRuntimeFile = 8 << 20          // bytes
	askAgain       = 10 * time.Second // after a name was not found
)

// Runtimes finds names of containers in the files of Docker and Podman. It is for one goroutine, but for
// Readable.
type Runtimes struct {
	root  fs.FS
	now   func() time.Time
	names map[string]runtimeName // by ID, at most maxGroups
}

type runtimeName struct {
	name  string    // "" if it was not found
	asked time.Time // when
}

// NewRuntimes returns the Runtimes of a file system: os.DirFS("/").
func NewRuntimes(root fs.FS) *Runtimes {
	return &Runtimes{root: root, now: time.Now, names: map[string]runtimeName{}}
}

// Readable returns the folders of runtimes that can be read, and the reason for each that exists and cannot.
func (r *Runtimes) Readable() (folders []string, faults []error) {
	for _, folder := range []string{dockerFolder, podmanFolder} {
		switch _, err := fs.ReadDir(r.root, folder); {
		case err == nil:
			folders = append(folders, "/"+folder)
		case !errors.Is(err, fs.ErrNotExist):
			faults = append(faults, err)
		}
	}
	return folders, faults
}

// name returns the name of a container, "" if it cannot be found.
func (r *Runtimes) name(id string) string {
	known, found := r.names[id]
	if found && (known.name != "" || r.now().Sub(known.asked) < askAgain) {
		return known.name
	}
	if len(r.names) >= maxGroups {
		clear(r.names)
	}
	name := r.docker(id)
	if name == "" {
		name = r.podman(id)
	}
	r.names[id] = runtimeName{name, r.now()}
	return name
}

func (r *Runtimes) docker(id string) string {
	var container struct{ Name string }
	if r.read(path.Join(dockerFolder, id, dockerFile), &container) != nil {
		return ""
	}
	return limited(strings.TrimPrefix(container.Name, "/"))
}

func (r *Runtimes) podman(id string) string {
	for _, file := range podmanFiles {
		var containers []struct {
			ID    string   `json:"id"`
			Names []string `json:"names"`
		}
		if r.read(path.Join(podmanFolder, file), &containers) != nil {
			continue
		}
		for _, c := range containers {
			if c.ID == id && len(c.Names) > 0 {
				return limited(c.Names[0])
			}
		}
	}
	return ""
}

// limited returns a text of at most 253 bytes, as long as names are in Kubernetes.
func limited(text string) string { return strings.ToValidUTF8(text[:min(len(text), 253)], "") }

// read decodes a regular JSON file.
func (r *Runtimes) read(name string, into any) error {
	about, err := fs.Stat(r.root, name)
	if err != nil {
		return err
	}
	if !about.Mode().IsRegular() || about.Size() > maxRuntimeFile { // opening a FIFO would block
		return fmt.Errorf("read %s: no regular file, or too large", name)
	}
	file, err := r.root.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxRuntimeFile))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
