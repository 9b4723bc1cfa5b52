// A monitoring mixin (https://monitoring.mixins.dev) for redis-observer: prometheusAlerts, prometheusRules, grafanaDashboards.
(import 'config.libsonnet') +
(import 'alerts.libsonnet') +
(import 'rules.libsonnet') +
(import 'dashboard.libsonnet')
