package deploy

import (
	"fmt"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/redis-observer/redis-observer/test/deploy/chart"
)

const chartRoot = deployRoot + "/helm/redis-observer"

// template renders the chart as `helm template` does, with values on top of its own.
func template(tb testing.TB, values string) (string, error) {
	tb.Helper()
	return chart.Render(chartRoot, chart.Release{Name: "test", Namespace: "monitoring"}, []byte(values))
}

func mustTemplate(tb testing.TB, values string) objects {
	tb.Helper()
	manifest, err := template(tb, values)
	require.NoError(tb, err)
	return mustDecode(tb, []byte(strings.TrimPrefix(manifest, "---\n")))
}

func TestChartLint(t *testing.T) {
	result := lint.All(chartRoot, nil, "monitoring", true)
	for _, message := range result.Messages {
		assert.Less(t, message.Severity, support.WarningSev, message.Error())
	}
}

func TestChartDefaults(t *testing.T) {
	all := mustTemplate(t, "")
	assert.Len(t, all, 4)
	assertDaemonSet(t, all)
	var config map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(all["ConfigMap"].(*core.ConfigMap).Data["observer.yaml"]), &config))
	assert.Contains(t, config, "endpoints")
}

func TestChartValues(t *testing.T) {
	all := mustTemplate(t, `
config: {endpoints: [{name: cache, addresses: ["10.0.0.1:6379"]}]}
webConfigSecret: web
port: 9999
hostPID: false
podMonitor: {create: true}
serviceMonitor: {create: true, labels: {release: prometheus}}
monitorEndpoint: {scheme: https}
prometheusRule: {create: true}
serviceAccount: {create: true, annotations: {a: b}}
service: {annotations: {c: d}}
imagePullSecrets: [{name: registry}]
priorityClassName: system-node-critical
podAnnotations: {e: f}
podLabels: {g: h}
affinity: {nodeAffinity: {}}
`)
	assert.Len(t, all, 7)
	assertRules(t, all["PrometheusRule"].(*monitoring.PrometheusRule))
	container := all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec.Containers[0]
	assert.Equal(t, []string{"--config=/etc/redis-observer/observer.yaml", "--listen=:9999", "--web-config=/etc/redis-observer-web/web.yml"}, container.Args)
	assert.NotNil(t, container.ReadinessProbe.TCPSocket, "the kubelet has no password")
	assert.Contains(t, all["ConfigMap"].(*core.ConfigMap).Data["observer.yaml"], "10.0.0.1:6379")
	monitor := all["ServiceMonitor"].(*monitoring.ServiceMonitor)
	assert.Equal(t, "prometheus", monitor.Labels["release"])
	assert.Equal(t, monitoring.Duration("15s"), monitor.Spec.Endpoints[0].Interval)
	assert.Len(t, all["PodMonitor"].(*monitoring.PodMonitor).Spec.PodMetricsEndpoints, 1)
	assert.Equal(t, all["Service"].(*core.Service).Spec.Selector, monitor.Spec.Selector.MatchLabels)
}

// The names of a release and its objects are the user's; nothing may depend on them.
func TestChartNames(t *testing.T) {
	all := mustTemplate(t, "fullnameOverride: other\nnameOverride: another\npodMonitor: {create: true}\nserviceMonitor: {create: true}\n")
	for kind, object := range all {
		assert.Equal(t, "other", object.(interface{ GetName() string }).GetName(), kind)
	}
	assertJob(t, all["PodMonitor"].(*monitoring.PodMonitor).Spec.PodMetricsEndpoints[0].RelabelConfigs)
	assertJob(t, all["ServiceMonitor"].(*monitoring.ServiceMonitor).Spec.Endpoints[0].RelabelConfigs)
}

// What clusters ask for beside the defaults.
func TestChartExtras(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	all := mustTemplate(t, `
image: {digest: "`+digest+`"}
extraArgs: [--log-level=debug]
extraEnv: [{name: REDIS_OBSERVER_CAPTURE_BACKEND, value: kprobe}]
extraVolumes: [{name: tracing, hostPath: {path: /sys/kernel/tracing}}]
extraVolumeMounts: [{name: tracing, mountPath: /sys/kernel/tracing}]
priorityClassName: system-node-critical
updateStrategy: {rollingUpdate: {maxUnavailable: 1}}
securityContext: {seLinuxOptions: {type: spc_t}, appArmorProfile: {type: Unconfined}}
namespace: {create: true}
securityContextConstraints: {create: true}
networkPolicy: {create: true, from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
`)
	pod := all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec
	container := pod.Containers[0]
	assert.Equal(t, "ghcr.io/redis-observer/redis-observer@"+digest, container.Image)
	assert.Equal(t, "--log-level=debug", container.Args[len(container.Args)-1])
	assert.Equal(t, "spec.nodeName", container.Env[0].ValueFrom.FieldRef.FieldPath)
	assert.Equal(t, "kprobe", container.Env[1].Value)
	assert.Equal(t, "tracing", pod.Volumes[1].Name)
	assert.Equal(t, "/sys/kernel/tracing", container.VolumeMounts[1].MountPath)
	assert.Equal(t, "system-node-critical", pod.PriorityClassName)
	assert.Equal(t, "1", all["DaemonSet"].(*apps.DaemonSet).Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.String())
	assert.Equal(t, "spc_t", container.SecurityContext.SELinuxOptions.Type)
	assert.Equal(t, core.AppArmorProfileTypeUnconfined, container.SecurityContext.AppArmorProfile.Type)
	assert.Equal(t, "privileged", all["Namespace"].(*core.Namespace).Labels["pod-security.kubernetes.io/enforce"])
	scc := all["SecurityContextConstraints"].(*constraints)
	assert.Equal(t, container.SecurityContext.Capabilities.Add, scc.AllowedCapabilities)
	assert.Equal(t, pod.HostPID, scc.AllowHostPID)
	assert.False(t, scc.AllowPrivilegedContainer)
	assert.Equal(t, []string{"system:serviceaccount:monitoring:test-redis-observer"}, scc.Users)
	policy := all["NetworkPolicy"].(*networking.NetworkPolicy).Spec
	assert.Equal(t, all["DaemonSet"].(*apps.DaemonSet).Spec.Selector.MatchLabels, policy.PodSelector.MatchLabels)
	assert.Equal(t, "metrics", policy.Ingress[0].Ports[0].Port.String())
	assert.Len(t, policy.Ingress[0].From, 1)
}

// The network policy lets the observer reach its collector, at the port of the URL or that of the scheme.
func TestChartCollector(t *testing.T) {
	for endpoint, port := range map[string]int{
		"http://collector:4318/v1/metrics": 4318, "https://collector": 443, "http://collector/": 80, "http://[fd00::7]:4317": 4317, "http://[fd00::7]": 80, "": 0,
	} {
		all := mustTemplate(t, fmt.Sprintf("{networkPolicy: {create: true}, config: {otlp: {endpoint: %q}}}", endpoint))
		ports := all["NetworkPolicy"].(*networking.NetworkPolicy).Spec.Egress[0].Ports[2:]
		if port == 0 {
			assert.Empty(t, ports)
			continue
		}
		require.Len(t, ports, 1, endpoint)
		assert.Equal(t, port, ports[0].Port.IntValue(), endpoint)
	}
}

func TestChartDashboard(t *testing.T) {
	want := string(mustRead(t, deployRoot, "grafana/redis-observer.json"))
	assert.Equal(t, want, string(mustRead(t, chartRoot, "dashboard.json")), "a chart cannot refer to files outside, so it has a copy")
	manifest, err := template(t, "dashboard: {create: true}")
	require.NoError(t, err)
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		var object core.ConfigMap
		if strings.Contains(document, "-dashboard\n") {
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), &object))
			assert.Equal(t, "1", object.Labels["grafana_dashboard"])
			assert.JSONEq(t, want, object.Data["redis-observer.json"])
			return
		}
	}
	assert.Fail(t, "no dashboard", manifest)
}

// mustChartVersion returns the version of the chart, which is that of the observer.
func mustChartVersion(tb testing.TB) string {
	tb.Helper()
	loaded, err := loader.Load(chartRoot)
	require.NoError(tb, err)
	require.Equal(tb, loaded.Metadata.Version, loaded.Metadata.AppVersion)
	return loaded.Metadata.Version
}

// The chart and the manifests give the memory for which docs/security.md gives the bounds.
func TestMemoryLimit(t *testing.T) {
	for name, all := range map[string]objects{"chart": mustTemplate(t, ""), "manifests": mustDecode(t, mustKustomize(t, deployRoot+"/kubernetes"))} {
		container := all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec.Containers[0]
		assert.EqualValues(t, 256<<20, container.Resources.Limits.Memory().Value(), name)
		for _, variable := range container.Env {
			assert.NotEqual(t, "GOMEMLIMIT", variable.Name, "%s: the observer sets it from the limit", name)
		}
	}
	assert.Contains(t, string(mustRead(t, root, "docs/security.md")), "bound | at 256 MiB |")
}

// tls: true adds exactly the capabilities that TLS needs.
func TestChartTLS(t *testing.T) {
	added := func(values string) []core.Capability {
		all := mustTemplate(t, values)
		return all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec.Containers[0].SecurityContext.Capabilities.Add
	}
	assert.Equal(t, []core.Capability{"BPF", "PERFMON", "SETGID", "SETUID"}, added("tls: false"))
	assert.Equal(t, []core.Capability{"BPF", "PERFMON", "SETGID", "SETUID", "SYS_PTRACE", "CHECKPOINT_RESTORE"}, added("tls: true"))
	constrained := mustTemplate(t, "{tls: true, securityContextConstraints: {create: true}}")["SecurityContextConstraints"].(*constraints)
	assert.Equal(t, added("tls: true"), constrained.AllowedCapabilities)
	assert.Equal(t, []core.Capability{"SYS_ADMIN", "SYS_PTRACE", "CHECKPOINT_RESTORE"}, added("{tls: true, securityContext: {capabilities: {add: [SYS_ADMIN, SYS_PTRACE]}}}"))
}

// With service:// addresses the observer has a token, and a role for what it watches and no more.
func TestChartServices(t *testing.T) {
	all := mustTemplate(t, `config: {endpoints: [{name: a, addresses: ["service://shop/b:6379", "10.0.0.1:6379"]}, {name: c, addresses: ["service://shop/a:6379", "service://shop/b:6380"]}]}`)
	pod := all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec
	assert.True(t, *pod.AutomountServiceAccountToken)
	assert.Equal(t, int64(65521), *pod.SecurityContext.FSGroup)
	role, binding := all["Role"].(*rbac.Role), all["RoleBinding"].(*rbac.RoleBinding)
	assert.Equal(t, "shop", role.Namespace)
	assert.Equal(t, []rbac.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"services"}, ResourceNames: []string{"a", "b"}, Verbs: []string{"list", "watch"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
	}, role.Rules)
	assert.Equal(t, "shop", binding.Namespace)
	assert.Equal(t, rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "Role", Name: role.Name}, binding.RoleRef)
	assert.Equal(t, []rbac.Subject{{Kind: "ServiceAccount", Name: pod.ServiceAccountName, Namespace: "monitoring"}}, binding.Subjects)
}

// With labels of pods, or namespaces to ignore, the observer has a token, and a role for what it watches and no more; without them it
// has none.
func TestChartPods(t *testing.T) {
	all := mustTemplate(t, `{config: {metrics: {labels: [systemd_unit, k8s_pod_name]}}, networkPolicy: {create: true}}`)
	pod := all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec
	assert.True(t, *pod.AutomountServiceAccountToken)
	assert.Equal(t, int64(65521), *pod.SecurityContext.FSGroup)
	assert.Contains(t, pod.Containers[0].Env, core.EnvVar{Name: "NODE_NAME", ValueFrom: &core.EnvVarSource{FieldRef: &core.ObjectFieldSelector{FieldPath: "spec.nodeName"}}})
	role, binding := all["ClusterRole"].(*rbac.ClusterRole), all["ClusterRoleBinding"].(*rbac.ClusterRoleBinding)
	assert.Equal(t, []rbac.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}}}, role.Rules)
	assert.Equal(t, rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "ClusterRole", Name: role.Name}, binding.RoleRef)
	assert.Equal(t, []rbac.Subject{{Kind: "ServiceAccount", Name: pod.ServiceAccountName, Namespace: "monitoring"}}, binding.Subjects)
	assert.NotContains(t, all, "Role")
	assert.Contains(t, egressPorts(all), 6443)

	assert.Contains(t, mustTemplate(t, `config: {metrics: {labels: [container_name]}}`), "ClusterRole")
	assert.Contains(t, mustTemplate(t, `config: {ignore: {namespaces: ["istio-*"]}}`), "ClusterRole")
	assert.NotContains(t, mustTemplate(t, `config: {ignore: {processes: [envoy]}}`), "ClusterRole")

	all = mustTemplate(t, `{config: {metrics: {labels: [systemd_unit, container_id]}}, networkPolicy: {create: true}}`)
	assert.False(t, *all["DaemonSet"].(*apps.DaemonSet).Spec.Template.Spec.AutomountServiceAccountToken)
	for _, kind := range []string{"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} {
		assert.NotContains(t, all, kind)
	}
	assert.NotContains(t, egressPorts(all), 6443)
}

// egressPorts returns the ports that a network policy lets the observer reach.
func egressPorts(all objects) []int {
	var ports []int
	for _, rule := range all["NetworkPolicy"].(*networking.NetworkPolicy).Spec.Egress {
		for _, port := range rule.Ports {
			ports = append(ports, port.Port.IntValue())
		}
	}
	return ports
}

func TestChartRefuses(t *testing.T) {
	for name, values := range map[string]string{
		"a misspelt value":    "hostpid: true",
		"a port out of range": "port: 70000",
		"a wrong type":        "tolerations: all",
		"a misspelt monitor":  "podMonitor: {enabled: true}",
		"a misspelt key":      "config: {prots: [6379]}",
		"a key below another": "config: {capture: {ringsize: 1MiB}}",
		"an unknown backend":  "config: {capture: {backend: ebpf}}",
		"a misspelt endpoint": "config: {endpoints: [{name: a, adresses: ['*:1']}]}",
		"another listener":    "config: {listen: ':80'}",
		"a web configuration": "config: {web_config: web.yml}",
		"half a digest":       "image: {digest: 'sha256:12'}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template(t, values)
			assert.Error(t, err)
		})
	}
}
