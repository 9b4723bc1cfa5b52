package deploy

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAlerts(t *testing.T) {
	promtool := prometheusPrograms(t) + "/promtool"
	mustOutput(t, promtool, "check", "rules", deployRoot+"/prometheus/alerts.yaml")
	mustOutput(t, promtool, "test", "rules", deployRoot+"/prometheus/alerts_test.yaml")
	assert.Equal(t, string(mustRead(t, deployRoot, "prometheus/alerts.yaml")), string(mustRead(t, chartRoot, "alerts.yaml")),
		"a chart cannot refer to files outside, so it has a copy")
}
