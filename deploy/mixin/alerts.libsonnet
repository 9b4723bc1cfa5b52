// Alerts. The first group says that Redis, or a program that uses it, is in trouble. The second says that what the observer
// tells may be wrong or missing.
{
  local c = $._config,
  local query = (import 'query.libsonnet')(c),

  local alert(name, expr, summary, description, wait=c.wait) = {
    alert: name,
    expr: expr,
    'for': wait,
    labels: { severity: 'warning' },
    annotations: {
      summary: summary,
      description: description,
      runbook_url: '%s#%s' % [c.runbooks, std.asciiLower(name)],
    },
  },
  local pool(state) = 'sum by (name, instance) (redis_pool_connections{state="%s"})' % state,

  prometheusAlerts+:: {
    groups+: [
      {
        name: 'redis',
        rules: [
          alert(
            'RedisCommandErrors',
            '%s > %g' % [query.faults([], '5m'), c.errorsPerSecond],
            'Commands on {{ $labels.name }} fail',
            '{{ $value | humanize }} errors per second, without redirections, missing scripts and what clients send when they connect.'
          ),
          alert(
            'RedisSlowGet',
            '%s > %g and on (name) %s > %g' % [
              query.quantile(0.99, ['name'], ['command="get"'], '5m'),
              c.slowGet,
              query.commands(['name'], ['command="get"'], '5m'),
              c.atRest,
            ],
            'GET on {{ $labels.name }} is slow',
            'One GET in a hundred takes longer than {{ $value | humanizeDuration }}, over all nodes.'
          ),
          alert(
            'RedisPoolExhausted',
            '%s == 0 and %s > 0' % [pool('available'), pool('in_use')],
            'No connection to {{ $labels.name }} is free',
            'Every connection to {{ $labels.name }} that {{ $labels.instance }} sees has a command outstanding.'
          ),
        ],
      },
      {
        name: 'redis-observer',
        rules: [
          alert(
            'RedisObserverDown',
            'up{%s} == 0' % c.jobSelector,
            'redis-observer on {{ $labels.instance }} does not answer',
            'The Redis traffic of this node is not observed.'
          ),
          alert(
            'RedisObserverStale',
            'time() - redis_observer_last_read_timestamp_seconds > 30',
            'redis-observer on {{ $labels.instance }} reads no events',
            'It answers, but last read its probes {{ $value | humanizeDuration }} ago. Its metrics are stale.',
            wait='1m'
          ),
          alert(
            'RedisObserverLosesEvents',
            'sum by (instance, reason) (rate(redis_observer_capture_lost_events_total[10m])) > 0',
            'redis-observer on {{ $labels.instance }} loses events ({{ $labels.reason }})',
            '{{ $value | humanize }} events per second are lost between the kernel and the observer; counts are too low. For ring_full raise capture.ring_size.'
          ),
          alert(
            'RedisObserverUnpaired',
            'sum by (instance, name, reason) (rate(redis_observer_unpaired_commands_total{reason!~"mid_stream|client_closed|network"}[5m])) > 0.1',
            'redis-observer on {{ $labels.instance }} cannot pair commands of {{ $labels.name }} ({{ $labels.reason }})',
            '{{ $value | humanize }} commands per second are missing from redis_commands_total.'
          ),
          alert(
            'RedisObserverBrokenStreams',
            'sum by (instance, reason) (rate(redis_observer_gaps_total{effect="broken"}[5m])) > 0.1',
            'redis-observer on {{ $labels.instance }} misses parts of streams ({{ $labels.reason }})',
            '{{ $value | humanize }} connections per second are desynced; their commands are not counted until they are synced again.'
          ),
          alert(
            'RedisObserverForgetsConnections',
            'rate(redis_observer_evicted_connections_total[5m]) > 0',
            'redis-observer on {{ $labels.instance }} has more connections than it can track',
            '{{ $value | humanize }} connections per second are evicted.'
          ),
          alert(
            'RedisObserverConfigRefused',
            'redis_observer_config_last_reload_successful == 0',
            'redis-observer on {{ $labels.instance }} failed to reload its configuration',
            'It keeps the previous one. Its log names every fault.',
            wait='1m'
          ),
          alert(
            'RedisObserverHostUnknown',
            'increase(redis_observer_host_lookup_failures_total[15m]) > 5',
            'redis-observer on {{ $labels.instance }} cannot resolve {{ $labels.host }}',
            'Commands to this host may be counted under the wrong name.'
          ),
          alert(
            'RedisObserverCollectorAway',
            'time() - (redis_observer_otlp_last_success_timestamp_seconds > 0 or process_start_time_seconds and redis_observer_otlp_last_success_timestamp_seconds) > %d' % c.exportAge,
            'redis-observer on {{ $labels.instance }} cannot export to its collector',
            'No export by OTLP has succeeded for {{ $value | humanizeDuration }}. Nothing is lost: all numbers go with the next one that succeeds.'
          ),
        ],
      },
    ],
  },
}
