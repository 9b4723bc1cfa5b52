package kube

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// keepPods is how long a pod is known after the API server has removed it: connections of one that ends
	// are labelled a little later, and a server that has forgotten is not to be believed at once.
	keepPods      = 10 * time.Minute
	maxEnded      = maxObjects // pods that are known only because of keepPods
	maxContainers = 64         // of a pod
	maxName       = 253        // bytes, that of the API
)

// Pod is what is known of a container and the pod around it.
type Pod struct {
	Namespace, Name      string
	Container            string // "" if it is not known yet
	OwnerKind, OwnerName string // Deployment for the pods of one; "" if the pod has no owner
}

// pod is a pod as it is kept: a small part of what the API server sends.
type pod struct {
	Pod
	uid             string
	configHash      string // of a static pod, whose cgroup has this for its UID
	node            string
	resourceVersion string
	containers      map[string]string // names by ID
	ended           time.Time         // when the API server had it no more; zero while it has
}

func (p pod) key() string     { return p.uid }
func (p pod) version() string { return p.resourceVersion }

// UnmarshalJSON keeps what is needed of a pod of the API.
func (p *pod) UnmarshalJSON(text []byte) error {
	var from apiPod
	if err := json.Unmarshal(text, &from); err != nil {
		return err
	}
	about := &from.Metadata
	kind, name := from.owner()
	*p = pod{
		Pod: Pod{
			Namespace: shorten(about.Namespace), Name: shorten(about.Name), OwnerKind: shorten(kind), OwnerName: shorten(name),
		},
		uid: shorten(about.UID), configHash: shorten(about.Annotations.ConfigHash), node: shorten(from.Spec.NodeName),
		resourceVersion: shorten(about.ResourceVersion), containers: from.containers(),
	}
	return nil
}

// apiPod is the part of a pod of the API that matters.
type apiPod struct {
	Metadata struct {
		metadata
		Namespace string `json:"namespace"`
		UID       string `json:"uid"`
		Labels    struct {
			TemplateHash string `json:"pod-template-hash"`
		} `json:"labels"`
		Annotations struct {
			ConfigHash string `json:"kubernetes.io/config.hash"`
		} `json:"annotations"`
		OwnerReferences []reference `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		NodeName            string  `json:"nodeName"`
		Containers          []named `json:"containers"`
		InitContainers      []named `json:"initContainers"`
		EphemeralContainers []named `json:"ephemeralContainers"`
	} `json:"spec"`
	Status struct {
		ContainerStatuses          []containerStatus `json:"containerStatuses"`
		InitContainerStatuses      []containerStatus `json:"initContainerStatuses"`
		EphemeralContainerStatuses []containerStatus `json:"ephemeralContainerStatuses"`
	} `json:"status"`
}

type reference struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

type named struct {
	Name string `json:"name"`
}

type containerStatus struct {
	Name        string `json:"name"`
	ContainerID string `json:"containerID"`
	LastState   struct {
		Terminated struct {
			ContainerID string `json:"containerID"`
		} `json:"terminated"`
	} `json:"lastState"`
}

// owner returns what the pod belongs to. The ReplicaSet of a Deployment has the name of the Deployment
// and the hash of its template.
func (p *apiPod) owner() (kind, name string) {
	owners := p.Metadata.OwnerReferences
	if len(owners) == 0 {
		return "", ""
	}
	owner := owners[max(0, slices.IndexFunc(owners, func(r reference) bool { return r.Controller }))]
	if hash := p.Metadata.Labels.TemplateHash; owner.Kind == "ReplicaSet" && hash != "" {
		if name, ofDeployment := strings.CutSuffix(owner.Name, "-"+hash); ofDeployment && name != "" {
			return "Deployment", name
		}
	}
	return owner.Kind, owner.Name
}

// containers returns the names of the containers by ID. The status has an ID a little after the container
// has begun; the only container of a pod is also known without one, under the ID "".
func (p *apiPod) containers() map[string]string {
	names := map[string]string{}
	for _, s := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses) {
		for _, id := range []string{s.ContainerID, s.LastState.Terminated.ContainerID} {
			if _, id, found := strings.Cut(id, "://"); found && id != "" && len(names) < maxContainers { // containerd://...
				names[shorten(id)] = shorten(s.Name)
			}
		}
	}
	if all := slices.Concat(p.Spec.Containers, p.Spec.InitContainers, p.Spec.EphemeralContainers); len(all) == 1 {
		names[""] = shorten(all[0].Name)
	}
	return names
}

// shorten limits what an API server says.
func shorten(text string) string {
	if len(text) <= maxName {
		return text
	}
	return strings.Clone(strings.ToValidUTF8(text[:maxName], ""))
}

// Pods are the pods of a node. All methods are safe for concurrent use.
type Pods struct {
	now     func() time.Time
	changes atomic.Uint64

	mu    sync.Mutex
	known map[string]*pod // by the UID in cgroups
}

// NewPods returns no pods.
func NewPods() *Pods { return &Pods{now: time.Now, known: map[string]*pod{}} }

// WatchPods follows the pods of a node until ctx ends. The API server selects them, and leaves out those
// that have run to completion. failed gets each failure, and nil when the watch works again.
func (c *Client) WatchPods(ctx context.Context, node string, pods *Pods, failed func(error)) {
	c.pods(node, func(all map[string]pod) { pods.set(node, all) }, failed).run(ctx)
}

func (c *Client) pods(node string, changed func(map[string]pod), failed func(error)) *watch[pod] {
	selector := url.Values{"fieldSelector": {"spec.nodeName=" + node + ",status.phase!=Succeeded,status.phase!=Failed"}}
	return &watch[pod]{c, "/api/v1/pods", selector, changed, failed}
}

// ListPods takes the pods that a node has now.
func (c *Client) ListPods(ctx context.Context, node string, pods *Pods) error {
	all, _, err := c.pods(node, nil, nil).list(ctx)
	if err == nil {
		pods.set(node, all)
	}
	return err
}

// CheckPods returns nil if the API server allows to list and to watch the pods of a node.
func (c *Client) CheckPods(ctx context.Context, node string) error {
	w := c.pods(node, nil, nil)
	_, version, err := w.list(ctx)
	if err != nil {
		return err
	}
	body, err := w.begin(ctx, version, time.Second)
	if err != nil {
		return err
	}
	return body.Close()
}

// set sets the pods that the API server has. Those of other nodes, which were not asked for, are left out.
func (p *Pods) set(node string, all map[string]pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	present := map[string]*pod{}
	for uid, o := range all {
		if o.node != node || uid == "" {
			continue
		}
		present[uid] = &o
		if o.configHash != "" {
			present[o.configHash] = &o
		}
	}
	p.keepEnded(present)
	p.known = present
	p.changes.Add(1)
}

// keepEnded adds the pods that are known and that the API server has no more, for some time.
func (p *Pods) keepEnded(present map[string]*pod) {
	now, ended := p.now(), 0
	for uid, m := range p.known {
		if present[uid] != nil {
			continue
		}
		if m.ended.IsZero() {
			m.ended = now
		}
		if now.Sub(m.ended) < keepPods && ended < maxEnded {
			present[uid] = m
			ended++
		}
	}
}

// Find returns what is known of a container, by its ID, in the pod that has a UID in its cgroup.
func (p *Pods) Find(uid, container string) (Pod, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.known[uid]
	if m == nil {
		return Pod{}, false
	}
	found := m.Pod
	if name, has := m.containers[container]; has {
		found.Container = name
	} else {
		found.Container = m.containers[""]
	}
	return found, true
}

// Changes is a number that changes when the pods do.
func (p *Pods) Changes() uint64 { return p.changes.Load() }
