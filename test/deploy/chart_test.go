package deploy

import (
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const chartRoot = deployRoot + "/helm/redis-observer"

// template renders the chart as `helm template` does, with values on top of its own.
func template(tb testing.TB, values string) (string, error) {
	tb.Helper()
	chart, err := loader.Load(chartRoot)
	require.NoError(tb, err)
	install := action.NewInstall(new(action.Configuration))
	install.DryRun, install.ClientOnly = true, true
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}
	install.ReleaseName, install.Namespace = "test", "monitoring"
	var given map[string]any
	require.NoError(tb, yaml.Unmarshal([]byte(values), &given))
	release, err := install.Run(chart, given)
	if err != nil {
		return "", err
	}
	return release.Manifest, nil
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

func TestChartRefuses(t *testing.T) {
	for name, values := range map[string]string{
		"a misspelt value":    "hostpid: true",
		"a port out of range": "port: 70000",
		"a wrong type":        "tolerations: all",
		"a misspelt monitor":  "podMonitor: {enabled: true}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := template(t, values)
			assert.Error(t, err)
		})
	}
}
