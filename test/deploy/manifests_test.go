package deploy

import (
	"bytes"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// objects are decoded manifests, by kind.
type objects map[string]any

// mustDecode reads manifests by the types of Kubernetes' own API, in which an unknown field is an error.
func mustDecode(tb testing.TB, manifests []byte) objects {
	tb.Helper()
	all := objects{}
	for document := range bytes.SplitSeq(manifests, []byte("\n---\n")) {
		var head struct {
			APIVersion, Kind string
			Metadata         struct{ Name string }
		}
		require.NoError(tb, yaml.Unmarshal(document, &head), "%s", document)
		if head.Kind == "" {
			continue
		}
		object := emptyObject(head.APIVersion + " " + head.Kind)
		require.NotNil(tb, object, "an object of a kind that this test does not know: %s %s", head.APIVersion, head.Kind)
		require.NoError(tb, yaml.UnmarshalStrict(document, object), "%s", document)
		assert.Empty(tb, validation.IsDNS1123Subdomain(head.Metadata.Name), head.Metadata.Name)
		assert.NotContains(tb, all, head.Kind, "one object of each kind")
		all[head.Kind] = object
	}
	return all
}

func emptyObject(kind string) any {
	switch kind {
	case "v1 Namespace":
		return new(core.Namespace)
	case "v1 ServiceAccount":
		return new(core.ServiceAccount)
	case "v1 ConfigMap":
		return new(core.ConfigMap)
	case "v1 Service":
		return new(core.Service)
	case "apps/v1 DaemonSet":
		return new(apps.DaemonSet)
	case "monitoring.coreos.com/v1 PodMonitor":
		return new(monitoring.PodMonitor)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return new(monitoring.ServiceMonitor)
	case "monitoring.coreos.com/v1 PrometheusRule":
		return new(monitoring.PrometheusRule)
	case "networking.k8s.io/v1 NetworkPolicy":
		return new(networking.NetworkPolicy)
	case "rbac.authorization.k8s.io/v1 Role":
		return new(rbac.Role)
	case "rbac.authorization.k8s.io/v1 RoleBinding":
		return new(rbac.RoleBinding)
	case "rbac.authorization.k8s.io/v1 ClusterRole":
		return new(rbac.ClusterRole)
	case "rbac.authorization.k8s.io/v1 ClusterRoleBinding":
		return new(rbac.ClusterRoleBinding)
	case "security.openshift.io/v1 SecurityContextConstraints":
		return new(constraints)
	}
	return nil
}

// constraints is what the chart uses of OpenShift's SecurityContextConstraints, whose library asks for other versions of Kubernetes' than
// Helm's does.
type constraints struct {
	meta.TypeMeta            `json:",inline"`
	meta.ObjectMeta          `json:"metadata"`
	AllowHostDirVolumePlugin bool              `json:"allowHostDirVolumePlugin"`
	AllowHostIPC             bool              `json:"allowHostIPC"`
	AllowHostNetwork         bool              `json:"allowHostNetwork"`
	AllowHostPID             bool              `json:"allowHostPID"`
	AllowHostPorts           bool              `json:"allowHostPorts"`
	AllowPrivilegeEscalation *bool             `json:"allowPrivilegeEscalation"`
	AllowPrivilegedContainer bool              `json:"allowPrivilegedContainer"`
	AllowedCapabilities      []core.Capability `json:"allowedCapabilities"`
	DefaultAddCapabilities   []core.Capability `json:"defaultAddCapabilities"`
	RequiredDropCapabilities []core.Capability `json:"requiredDropCapabilities"`
	ReadOnlyRootFilesystem   bool              `json:"readOnlyRootFilesystem"`
	FSGroup, RunAsUser       strategy
	SELinuxContext           strategy `json:"seLinuxContext"`
	SupplementalGroups       strategy
	SeccompProfiles          []string `json:"seccompProfiles"`
	Volumes, Groups, Users   []string
}

type strategy struct{ Type string }

func mustKustomize(tb testing.TB, path string) []byte {
	tb.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	require.NoError(tb, err)
	manifests, err := resources.AsYaml()
	require.NoError(tb, err)
	return manifests
}

func TestKubernetes(t *testing.T) {
	all := mustDecode(t, mustKustomize(t, deployRoot+"/kubernetes"))
	assert.Len(t, all, 5)
	assertDaemonSet(t, all)
	assert.Equal(t, "redis-observer", all["Service"].(*core.Service).Spec.Selector["app.kubernetes.io/name"])
	assert.Contains(t, all["ConfigMap"].(*core.ConfigMap).Data, "observer.yaml")
	assert.Equal(t, "ghcr.io/redis-observer/redis-observer:"+mustChartVersion(t), all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec.Containers[0].Image)
	assert.Equal(t, "privileged", all["Namespace"].(*core.Namespace).Labels["pod-security.kubernetes.io/enforce"])
	for kind, object := range all {
		if kind != "Namespace" {
			assert.Equal(t, "redis-observer", object.(interface{ GetNamespace() string }).GetNamespace(), kind)
		}
	}
}

func TestKubernetesMonitoring(t *testing.T) {
	all := mustDecode(t, mustKustomize(t, deployRoot+"/kubernetes/monitoring"))
	assert.Len(t, all, 2)
	endpoint := all["PodMonitor"].(*monitoring.PodMonitor).Spec.PodMetricsEndpoints[0]
	assert.Equal(t, "metrics", *endpoint.Port)
	assertJob(t, endpoint.RelabelConfigs)
	assertRules(t, all["PrometheusRule"].(*monitoring.PrometheusRule))
}

// assertRules says that an object holds the rules of deploy/prometheus and no others.
func assertRules(tb testing.TB, rule *monitoring.PrometheusRule) {
	tb.Helper()
	assert.Equal(tb, append(mustRules(tb, "alerts.yaml"), mustRules(tb, "rules.yaml")...), rule.Spec.Groups)
}

// assertDaemonSet checks what is promised in docs/security.md and docs/deployment.md.
func assertDaemonSet(tb testing.TB, all objects) {
	tb.Helper()
	set := all["DaemonSet"].(*apps.DaemonSet)
	pod := set.Spec.Template.Spec
	assert.Subset(tb, set.Spec.Template.Labels, set.Spec.Selector.MatchLabels)
	assert.Equal(tb, all["ServiceAccount"].(*core.ServiceAccount).Name, pod.ServiceAccountName)
	assert.False(tb, *pod.AutomountServiceAccountToken)
	assert.False(tb, pod.HostNetwork)
	assert.True(tb, pod.HostPID)

	require.Len(tb, pod.Containers, 1)
	container := pod.Containers[0]
	security := container.SecurityContext
	assert.Equal(tb, []core.Capability{"ALL"}, security.Capabilities.Drop)
	assert.Equal(tb, []core.Capability{"BPF", "PERFMON", "SETGID", "SETUID"}, security.Capabilities.Add)
	assert.True(tb, *security.ReadOnlyRootFilesystem)
	assert.False(tb, *security.AllowPrivilegeEscalation)
	assert.False(tb, *security.Privileged)
	assert.Equal(tb, core.SeccompProfileTypeRuntimeDefault, security.SeccompProfile.Type)
	assert.Equal(tb, "metrics", container.Ports[0].Name)
	assert.NotNil(tb, container.ReadinessProbe)
	assert.NotNil(tb, container.LivenessProbe)
	assert.False(tb, container.Resources.Requests.Memory().IsZero())
	for _, mount := range container.VolumeMounts {
		assert.True(tb, mount.ReadOnly, mount.Name)
		assert.Empty(tb, mount.SubPath, "a file mounted by subPath never changes")
	}
	for _, volume := range pod.Volumes {
		assert.Nil(tb, volume.HostPath, volume.Name)
	}
}

// assertJob says that the alert for an absent observer finds the job, whatever the release or the monitor is called.
func assertJob(tb testing.TB, relabelings []monitoring.RelabelConfig) {
	tb.Helper()
	require.NotEmpty(tb, relabelings)
	assert.Equal(tb, "job", relabelings[0].TargetLabel)
	require.NotNil(tb, relabelings[0].Replacement)
	assert.Equal(tb, "redis-observer", *relabelings[0].Replacement)
	assert.Empty(tb, relabelings[0].SourceLabels)
	assert.Contains(tb, string(mustRead(tb, deployRoot, "prometheus/alerts.yaml")), `up{job=~".*redis-observer.*"} == 0`)
}
