// The dashboard. What is of all nodes and has buckets needs the recording rules; the rest reads the series themselves.
{
  local c = $._config,
  local query = (import 'query.libsonnet')(c),
  local p = import 'panel.libsonnet',

  local named = ['name=~"$name"'],
  local node = ['instance=~"$instance"'],
  local command = ['command=~"$command"'],
  local all = named + command + node,
  local interval = '$__rate_interval',
  local range = '$__range',

  local recorded(name, by, matchers) =
    (if by == [] then 'sum' else 'sum by (%s) ' % std.join(', ', by)) + '(%s{%s})' % [name, std.join(',', matchers)],
  local recordedRate(offset='') =
    'sum(name_command_status:redis_commands:rate5m{%s}%s)' % [std.join(',', named + command), offset],
  local ofAll = 'Without blocking commands. Of all nodes: over five minutes each, from the recording rules.',
  local quantiles(q) = p.lines(
    'p%d by name and command' % (q * 100),
    's',
    ofAll,
    [p.query(query.selectedQuantile(q, ['name', 'command'], named + command + [query.notBlocking], interval), '{{name}} {{command}}')],
    8,
    9
  ),
  // by group, the label that the variable selects.
  local grouped(expr) = p.query(expr, '{{$group}}'),

  local fleet = {
    title: 'Overview of all nodes (from the recording rules)',
    panels: [
      p.stat('Commands per second', 'ops', 'Completed commands. Those that the client gave up by closing its connection count as success.', [
        p.query(recordedRate()),
      ]),
      p.stat('Share of errors', 'percentunit', 'Without redirections, missing scripts, and what clients send when they connect.', [
        p.query('%s / %s' % [
          recorded('name:redis_command_faults:rate5m', [], named),
          recorded('name_command_status:redis_commands:rate5m', [], named),
        ]),
      ]),
      p.stat('p99, without blocking commands', 's', 'From the start of the write of the application to the end of its read.', [
        p.query(query.recordedQuantile(0.99, [], named + command + [query.notBlocking])),
      ]),
      p.stat('Connections', 'short', 'Established connections, by whether a command is outstanding.', [
        p.query(recorded('name_state:redis_pool_connections:sum', ['state'], named), '{{state}}'),
      ]),
    ],
  },
  local traffic = {
    title: 'Rate and errors',
    panels: [
      p.lines('Commands by name and command', 'ops', '', [
        p.query(query.commands(['name', 'command'], all, interval), '{{name}} {{command}}'),
      ], 12, 9),
      p.lines('Errors by name', 'ops', 'Without redirections, missing scripts, and what clients send when they connect.', [
        p.query('%s > 0' % query.faults(all, interval), '{{name}}'),
      ], 12, 9),
      p.lines('Errors by name and command', 'ops', 'All of them.', [
        p.query('%s > 0' % query.rate('redis_command_errors_total', ['name', 'command'], all, interval), '{{name}} {{command}}'),
      ], 8),
      p.lines('Error replies by prefix', 'ops', 'The first word of an error reply, from a closed table.', [
        p.query('%s > 0' % query.rate('redis_command_error_replies_total', ['name', 'command', 'prefix'], all, interval), '{{name}} {{command}} {{prefix}}'),
      ], 8),
      p.lines('Unanswered commands', 'ops', 'Outstanding when their connection ended, by who ended it.', [
        p.query('%s > 0' % query.rate('redis_observer_unanswered_commands_total', ['name', 'reason'], named + node, interval), '{{name}} {{reason}}'),
      ], 8),
    ],
  },
  local overRange(q) =
    query.selectedQuantile(q, ['name', 'command'], named + command + [query.notBlocking], range, 'avg_over_time(%%s[%s])' % range),
  local latency = {
    title: 'Latency, without blocking commands',
    panels: [
      quantiles(0.5),
      quantiles(0.95),
      quantiles(0.99),
      p.heatmap('Durations', 'Distribution of command durations, per second. ' + ofAll, [
        p.query('%s or sum(rate(redis_command_duration_seconds{%s}[%s]))' % [
          query.buckets(['le'], named + command + [query.notBlocking], interval),
          std.join(',', all + [query.notBlocking]),
          interval,
        ], '{{le}}', { format: 'heatmap' }),
      ]),
      p.table(
        'Slowest commands',
        'By their p99 over the time shown, without blocking commands.',
        [{ title: 'p99', unit: 's' }, { title: 'p50', unit: 's' }, { title: 'per second', unit: 'ops' }],
        [
          p.instant('topk(15, %s)' % overRange(0.99)),
          p.instant(overRange(0.5)),
          p.instant(query.commands(['name', 'command'], all + [query.notBlocking], range)),
        ]
      ),
      p.lines(
        'Time in sockets by name',
        's',
        'Means, only with metrics.phases. Client: a reply lay in the socket before the application read it. Server: a request, before the server read it. The rest of the duration is the network and the work of the server.',
        [
          p.query(query.mean('redis_command_client_wait_seconds', ['name'], named + node, interval), '{{name}} client'),
          p.query(query.mean('redis_command_server_queue_seconds', ['name'], named + node, interval), '{{name}} server'),
        ],
        24
      ),
    ],
  },
  local blocking = {
    title: 'Blocking commands',
    panels: [
      p.lines('Blocking commands by name and command', 'ops', 'Their duration is mostly that of their wait. XREAD and XREADGROUP are here with and without BLOCK.', [
        p.query(query.commands(['name', 'command'], all + [query.blocking], interval), '{{name}} {{command}}'),
      ]),
      p.lines('p99 of blocking commands', 's', 'Mostly the time for which nothing arrived.', [
        p.query(query.selectedQuantile(0.99, ['name', 'command'], named + command + [query.blocking], interval), '{{name}} {{command}}'),
      ]),
    ],
  },
  local where = {
    title: 'Where: by $group',
    panels: [
      p.table(
        'Slowest nodes',
        'The 15 nodes with the highest p99 of now, from the recording rules, without blocking commands.',
        [{ title: 'p99', unit: 's' }, { title: 'errors', unit: 'ops' }, { title: 'commands', unit: 'ops' }],
        [
          p.instant('topk(15, instance:redis_command_duration_seconds:p99{instance=~"$instance"})'),
          p.instant('sum by (instance) (instance:redis_command_errors:rate5m{instance=~"$instance"})'),
          p.instant('sum by (instance) (instance:redis_commands:rate5m{instance=~"$instance"})'),
        ],
        ['__name__']
      ),
      p.lines('Slowest by $group', 's', 'The 10 highest p99, without blocking commands.', [
        grouped('topk(10, %s)' % query.quantile(0.99, ['$group'], all + [query.notBlocking], interval)),
      ], 12, 9),
      p.lines('Most errors by $group', 'ops', 'The 10 highest rates.', [
        grouped('topk(10, %s)' % query.rate('redis_command_errors_total', ['$group'], all, interval)),
      ]),
      p.lines('Most commands by $group', 'ops', 'The 10 highest rates.', [
        grouped('topk(10, %s)' % query.commands(['$group'], all, interval)),
      ]),
    ],
  },
  local changes = {
    title: 'What changed (from the recording rules)',
    panels: [
      p.lines('Commands now, a day and a week ago', 'ops', '', [
        p.query(recordedRate(), 'now'),
        p.query(recordedRate(' offset 1d'), '1 day ago'),
        p.query(recordedRate(' offset 1w'), '1 week ago'),
      ], 8, 9),
      p.lines('p99 by name now, and a day and a week ago', 's', 'Without blocking commands.', [
        p.query('name:redis_command_duration_seconds:p99{name=~"$name"}', '{{name}} now'),
        p.query('name:redis_command_duration_seconds:p99{name=~"$name"} offset 1d', '{{name}} 1 day ago'),
        p.query('name:redis_command_duration_seconds:p99{name=~"$name"} offset 1w', '{{name}} 1 week ago'),
      ], 8, 9),
      p.table(
        'Slower than a day ago',
        'The 15 commands whose p99 has grown most, as a factor, and their p99 now.',
        [{ title: 'factor', unit: 'short' }, { title: 'p99', unit: 's' }],
        [
          p.instant('topk(15, name_command:redis_command_duration_seconds:p99{%(of)s} / name_command:redis_command_duration_seconds:p99{%(of)s} offset 1d)' % {
            of: std.join(',', named + command + [query.notBlocking]),
          }),
          p.instant('sum by (name, command) (name_command:redis_command_duration_seconds:p99{%s})' % std.join(',', named + command + [query.notBlocking])),
        ],
        ['__name__'],
        width=8
      ),
    ],
  },
  local connections = {
    title: 'Connections',
    panels: [
      p.lines('Pool by name and state', 'short', 'in_use: a command is outstanding; available: no command is outstanding. A name without connections has no line.', [
        p.query('sum by (name, state) (redis_pool_connections{name=~"$name",instance=~"$instance"})', '{{name}} {{state}}'),
      ]),
      p.lines('New connections by kind', 'cps', 'By protocol.', [
        p.query(query.rate('redis_observer_connections_total', ['kind'], node, interval), '{{kind}}'),
      ]),
      p.lines('Failed connects by name and reason', 'cps', 'gave_up: the program did not wait any longer for an answer. refused: nothing listens. no_port: the host has no local port left.', [
        p.query('%s > 0' % query.rate('redis_connect_failures_total', ['name', 'reason'], named + node, interval), '{{name}} {{reason}}'),
      ]),
      p.lines('Closed connections by name and end', 'cps', 'By whose FIN or reset came first. network: the other end was silent for too long.', [
        p.query('%s > 0' % query.rate('redis_connections_closed_total', ['name', 'by'], named + node, interval), '{{name}} {{by}}'),
      ]),
      p.lines(
        'Connecting by name',
        's',
        'Means, as clients wait. TCP: from the SYN to the answer. TLS: the handshake, from the ClientHello to its end, with the work of both ends.',
        [
          p.query(query.mean('redis_connect_duration_seconds', ['name'], named + node, interval), '{{name}} TCP'),
          p.query(query.mean('redis_tls_handshake_duration_seconds', ['name'], named + node, interval), '{{name}} TLS'),
        ],
        24
      ),
    ],
  },
  local observer = {
    title: 'The observer itself',
    panels: [
      p.table(
        'Observers',
        'Their versions and capture backends.',
        [],
        [p.instant('redis_observer_build_info{instance=~"$instance"} * on (instance) group_left (backend) redis_observer_capture_info{instance=~"$instance"}')],
        ['Value', '__name__', 'job']
      ),
      p.lines('Lost events and desynced connections', 'ops', 'The numbers above are exact while all of these are 0.', [
        p.query(query.rate('redis_observer_capture_lost_events_total', ['instance', 'reason'], node, interval), 'lost {{reason}} {{instance}}'),
        p.query(query.rate('redis_observer_gaps_total', ['instance', 'reason'], node + ['effect="broken"'], interval), 'gap {{reason}} {{instance}}'),
        p.query(query.rate('redis_observer_unpaired_commands_total', ['instance', 'reason'], named + node, interval), 'unpaired {{reason}} {{instance}}'),
        p.query('rate(redis_observer_evicted_connections_total{instance=~"$instance"}[$__rate_interval])', 'evicted {{instance}}'),
        p.query('rate(redis_observer_lost_connections_total{instance=~"$instance"}[$__rate_interval])', 'lost connections {{instance}}'),
      ], 12, 9),
      p.lines('CPU', 'percentunit', 'Of the process of the observer.', [
        p.query('rate(process_cpu_seconds_total{instance=~"$instance"}[$__rate_interval]) and on (instance) redis_observer_build_info', '{{instance}}'),
      ], 6, 7),
      p.lines('Memory', 'bytes', 'Resident, of the process of the observer.', [
        p.query('process_resident_memory_bytes{instance=~"$instance"} and on (instance) redis_observer_build_info', '{{instance}}'),
      ], 6, 7),
      p.lines('Events and payload read', 'short', '', [
        p.query('rate(redis_observer_capture_events_total{instance=~"$instance"}[$__rate_interval])', 'events {{instance}}'),
        p.query('rate(redis_observer_capture_bytes_total{instance=~"$instance"}[$__rate_interval])', 'bytes {{instance}}'),
      ], 6, 7),
      p.lines('Age of the metrics', 's', 'Time since the last read of the probes.', [
        p.query('time() - redis_observer_last_read_timestamp_seconds{instance=~"$instance"}', '{{instance}}'),
      ], 6, 7),
    ],
  },

  grafanaDashboards+:: {
    'redis-observer.json': {
      uid: 'redis-observer',
      title: 'Redis, observed from outside',
      description: 'Commands, latencies and errors as seen by the clients of Redis, from redis-observer.',
      tags: ['redis'],
      schemaVersion: 38,
      version: 1,
      editable: true,
      graphTooltip: 1,
      timezone: 'browser',
      refresh: '30s',
      time: { from: 'now-1h', to: 'now' },
      timepicker: {},
      links: [],
      annotations: {
        list: [
          p.annotation('Restarts of observers', 'orange', 'changes(process_start_time_seconds{instance=~"$instance"}[2m]) > 0 and on (instance) redis_observer_build_info', 'redis-observer started', '{{instance}}'),
          p.annotation('Configurations of observers', 'blue', 'changes(redis_observer_config_last_reload_success_timestamp_seconds{instance=~"$instance"}[2m]) > 0', 'redis-observer read its configuration', '{{instance}}'),
          p.annotation('Restarts of Redis (needs redis_exporter)', 'red', 'changes(redis_start_time_seconds[2m]) > 0', 'Redis started', '{{instance}}'),
        ],
      },
      templating: {
        list: [
          p.sources,
          p.choice('instance', 'Instance', 'label_values(redis_observer_build_info, instance)', '.*'),
          p.choice('name', 'Name', 'label_values(redis_commands_total{instance=~"$instance",status!=""}, name)'),
          p.choice('command', 'Command', 'label_values(redis_commands_total{instance=~"$instance",name=~"$name",status!=""}, command)'),
          p.alternatives('group', 'Where: by', c.groups),
        ],
      },
      panels: p.layout([fleet, traffic, latency, blocking, where, changes, connections, observer]),
    },
  },
}
