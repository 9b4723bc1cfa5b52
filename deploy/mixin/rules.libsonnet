// Recording rules: sums over all nodes, so that a dashboard of a thousand nodes loads as fast as one of one node; and sums of each
// node. The two read the same buckets, which takes most of the time, so they are groups, which Prometheus evaluates side by side.
{
  local query = (import 'query.libsonnet')($._config),
  local record(name, expr) = { record: name, expr: expr },

  prometheusRules+:: {
    groups+: [
      {
        name: 'redis-observer-fleet',
        rules: [
          record('name_command_status:redis_commands:rate5m', query.commands(['name', 'command', 'status'], [], '5m')),
          record('name:redis_command_faults:rate5m', query.faults([], '5m')),
          record('name_command_le:redis_command_duration_seconds_bucket:rate5m', query.rate('redis_command_duration_seconds_bucket', ['name', 'command', 'le'], [], '5m')),
          // Empty unless Prometheus stores native histograms.
          record('name_command:redis_command_duration_seconds:rate5m', query.rate('redis_command_duration_seconds', ['name', 'command'], [], '5m')),
          record('name_command:redis_command_duration_seconds:p99', query.recordedQuantile(0.99, ['name', 'command'], [])),
          record('name:redis_command_duration_seconds:p99', query.recordedQuantile(0.99, ['name'], [query.notBlocking])),
          record('name_state:redis_pool_connections:sum', 'sum by (name, state) (redis_pool_connections)'),
        ],
      },
      {
        name: 'redis-observer-nodes',
        rules: [
          record('instance:redis_commands:rate5m', query.commands(['instance'], [], '5m')),
          record('instance:redis_command_errors:rate5m', query.rate('redis_command_errors_total', ['instance'], [], '5m')),
          record('instance:redis_command_duration_seconds:p99', query.quantile(0.99, ['instance'], [query.notBlocking], '5m')),
        ],
      },
    ],
  },
}
