package deploy

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// mustRules returns the groups of a file of rules.
func mustRules(tb testing.TB, name string) []monitoring.RuleGroup {
	tb.Helper()
	var spec monitoring.PrometheusRuleSpec
	require.NoError(tb, yaml.UnmarshalStrict(mustRead(tb, deployRoot, "prometheus", name), &spec))
	return spec.Groups
}

func TestAlerts(t *testing.T) {
	promtool := prometheusPrograms(t) + "/promtool"
	mustOutput(t, promtool, "check", "rules", deployRoot+"/prometheus/alerts.yaml", deployRoot+"/prometheus/rules.yaml")
	mustOutput(t, promtool, "test", "rules", deployRoot+"/prometheus/alerts_test.yaml")
}

// Each alert waits, and has a heading of its own in the document to which it leads.
func TestAlertsLeadSomewhere(t *testing.T) {
	const runbook = "https://github.com/redis-observer/redis-observer/blob/main/docs/troubleshooting.md#"
	headings := map[string]int{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllSubmatch(mustRead(t, root, "docs/troubleshooting.md"), -1) {
		headings[string(bytes.ToLower(heading[1]))]++
	}
	tested := string(mustRead(t, deployRoot, "prometheus/alerts_test.yaml"))
	for _, group := range mustRules(t, "alerts.yaml") {
		for _, rule := range group.Rules {
			anchor := strings.ToLower(rule.Alert)
			assert.Equal(t, runbook+anchor, rule.Annotations["runbook_url"])
			assert.Equal(t, 1, headings[anchor], "headings of docs/troubleshooting.md for %s", rule.Alert)
			assert.NotNil(t, rule.For, rule.Alert)
			assert.Contains(t, tested, "alertname: "+rule.Alert+"\n")
		}
	}
}
