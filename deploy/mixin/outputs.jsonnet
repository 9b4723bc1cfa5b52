// The files that `make generate` writes, by their path below deploy/.
local mixin = import 'mixin.libsonnet';
local all = { groups: mixin.prometheusAlerts.groups + mixin.prometheusRules.groups };
local dashboard = mixin.grafanaDashboards['redis-observer.json'];
{
  'prometheus/alerts.yaml': mixin.prometheusAlerts,
  'prometheus/rules.yaml': mixin.prometheusRules,
  'helm/redis-observer/rules.yaml': all,
  'kubernetes/monitoring/prometheusrule.yaml': {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'redis-observer' },
    spec: all,
  },
  'grafana/redis-observer.json': dashboard,
  'helm/redis-observer/dashboard.json': dashboard,
}
