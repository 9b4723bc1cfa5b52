package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis-observer/redis-observer/internal/config"
	"github.com/redis-observer/redis-observer/internal/kube"
)

// firstPods is how long the start waits for the pods of the node, so that connections that exist have
// their labels from the first command on.
const firstPods = 2 * time.Second

// checkTime is how long check waits for the API server.
const checkTime = 5 * time.Second

// nodeVariable has the name of the node. Pods of other nodes are never asked for.
const nodeVariable = "NODE_NAME"

var errNoNode = errors.New("NODE_NAME is not set (in a pod, take it from the field spec.nodeName)")

// podWatch follows the pods of this node.
type podWatch struct {
	pods     *kube.Pods
	node     string
	api      *kube.Client // nil if there is none
	outage   outage
	failures atomic.Uint64
}

// newPodWatch finds the API server, and lists the pods. Without them, all else goes on.
func newPodWatch(ctx context.Context, pods *kube.Pods, logger *slog.Logger) *podWatch {
	p := &podWatch{pods: pods}
	p.outage = outage{
		logger: logger,
		began:  "cannot watch the pods of this node; labels and namespaces of new ones are unknown",
		ended:  "watching the pods of this node again",
		count:  func() { p.failures.Add(1) },
	}
	api, node, err := podsOfNode()
	if err == nil {
		p.api, p.node = api, node
		ctx, cancel := context.WithTimeout(ctx, firstPods)
		defer cancel()
		err = api.ListPods(ctx, node, pods)
	}
	if err != nil {
		p.outage.note(err)
	}
	return p
}

// podsOfNode returns whom to ask for the pods of this node.
func podsOfNode() (api *kube.Client, node string, err error) {
	if node = os.Getenv(nodeVariable); node == "" {
		return nil, "", errNoNode
	}
	api, err = kube.InCluster()
	return api, node, err
}

// run follows the pods until ctx ends.
func (p *podWatch) run(ctx context.Context) {
	if p.api != nil {
		p.api.WatchPods(ctx, p.node, p.pods, p.outage.note)
	}
}

// podAccess is whether the API server lets the pods of the node be found.
type podAccess struct {
	Node     string   `json:"node,omitempty"`
	Granted  bool     `json:"granted"`   // list and watch of the pods of the node
	NeededBy []string `json:"needed_by"` // keys of the configuration
	Error    string   `json:"error,omitempty"`
}

// checkPods asks the API server for the pods of this node, if anything needs them; otherwise it returns nil.
func checkPods(ctx context.Context, c *config.Config) *podAccess {
	if !podsWanted(c) {
		return nil
	}
	api, node, err := podsOfNode()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		err = api.CheckPods(ctx, node)
	}
	access := &podAccess{Node: node, Granted: err == nil}
	if podLabelsWanted(c) {
		access.NeededBy = append(access.NeededBy, "metrics.labels")
	}
	if len(c.Ignore.Namespaces) > 0 {
		access.NeededBy = append(access.NeededBy, "ignore.namespaces")
	}
	if err != nil {
		access.Error = err.Error()
	}
	return access
}

// String returns what is needed, and whether it is granted.
func (a podAccess) String() string {
	needed := strings.Join(a.NeededBy, " and ") + " need list and watch of the pods of this node"
	if !a.Granted {
		return needed + ", without which they are unknown: " + a.Error
	}
	return needed + ": granted for " + a.Node
}
