// What a user of the mixin may want to change: (import 'mixin.libsonnet') + { _config+:: { slowGet: 0.01 } }
{
  _config+:: {
    // Selects the scrapes of observers, for the alert about one that does not answer.
    jobSelector: 'job=~".*redis-observer.*"',
    runbooks: 'https://github.com/redis-observer/redis-observer/blob/main/docs/troubleshooting.md',

    // How long a condition holds before an alert fires, so that a deployment does not raise one.
    wait: '5m',
    errorsPerSecond: 0.1,
    slowGet: 0.05,
    // Seconds without a successful export by OTLP; more than otlp.interval.
    exportAge: 600,
    // A name with fewer commands per second is at rest: its quantiles are those of a few commands.
    atRest: 0.1,

    // Error replies that are no one's fault: clients follow redirections, and load scripts that are missing.
    expectedPrefixes: ['ASK', 'MOVED', 'NOSCRIPT'],
    // Commands that clients send when they connect; older servers refuse them.
    connectCommands: ['client', 'client_.*', 'command', 'command_.*', 'hello'],
    // Commands whose duration is that of their wait.
    blockingCommands: [
      'blmove',
      'blmpop',
      'blpop',
      'brpop',
      'brpoplpush',
      'bzmpop',
      'bzpopmax',
      'bzpopmin',
      'wait',
      'waitaof',
      'xread',
      'xreadgroup',
    ],

    // Labels that the dashboard offers to compare, beside those of every series.
    groups: ['instance', 'name', 'command', 'node', 'namespace', 'pod', 'container', 'cluster'],
  },
}
