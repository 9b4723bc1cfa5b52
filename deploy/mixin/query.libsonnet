// The expressions that rules and panels share. A selector is a list of label matchers, by a list of labels.
function(config) {
  local braces(matchers) = if matchers == [] then '' else '{' + std.join(',', matchers) + '}',
  local list(labels) = std.join(', ', labels),
  local recordedBuckets = 'name_command_le:redis_command_duration_seconds_bucket:rate5m',

  blocking: 'command=~"%s"' % std.join('|', config.blockingCommands),
  notBlocking: 'command!~"%s"' % std.join('|', config.blockingCommands),
  notAtConnect: 'command!~"%s"' % std.join('|', config.connectCommands),
  expected: 'prefix=~"%s"' % std.join('|', config.expectedPrefixes),

  // rate is a counter's increase per second.
  rate(counter, by, matchers, range)::
    if by == [] then 'sum(rate(%s%s[%s]))' % [counter, braces(matchers), range]
    else 'sum by (%s) (rate(%s%s[%s]))' % [list(by), counter, braces(matchers), range],

  // commands counts ours only: the family of that name of redis_exporter has no label status.
  commands(by, matchers, range):: self.rate('redis_commands_total', by, matchers + ['status!=""'], range),

  // faults are the errors that are someone's fault, by name.
  faults(matchers, range)::
    local mine = matchers + [self.notAtConnect];
    local errors = self.rate('redis_command_errors_total', ['name'], mine, range);
    local expected = self.rate('redis_command_error_replies_total', ['name'], mine + [self.expected], range);
    '%(errors)s - (%(expected)s or 0 * %(errors)s)' % { errors: errors, expected: expected },

  // quantile works for classic histograms and for native ones. Of a histogram that is stored as both it takes the classic.
  quantile(q, by, matchers, range, offset='')::
    local shift = if offset == '' then '' else ' offset ' + offset;
    local of(family, by) =
      (if by == [] then 'sum' else 'sum by (%s) ' % list(by)) +
      '(rate(redis_command_duration_seconds%s%s[%s]%s))' % [family, braces(matchers), range, shift];
    '(histogram_quantile(%g, %s) or histogram_quantile(%g, %s))' % [q, of('_bucket', ['le'] + by), q, of('', by)],

  // mean works for both forms of a histogram, as quantile does.
  mean(histogram, by, matchers, range)::
    local of(suffix) = self.rate(histogram + suffix, by, matchers, range);
    '(%s / %s or histogram_sum(%s) / histogram_count(%s))' % [of('_sum'), of('_count'), of(''), of('')],

  // recordedQuantile is the same of what the recording rules have summed over all nodes.
  recordedQuantile(q, by, matchers)::
    local of(family, by) = (if by == [] then 'sum' else 'sum by (%s) ' % list(by)) + '(%s%s)' % [family, braces(matchers)];
    '(histogram_quantile(%g, %s) or histogram_quantile(%g, %s))' % [
      q,
      of(recordedBuckets, ['le'] + by),
      q,
      of('name_command:redis_command_duration_seconds:rate5m', by),
    ],

  // buckets are the rates of classic buckets of the nodes that a variable selects. For all nodes they are the recorded ones: the
  // series themselves are too many. The pattern of all nodes is .*, which matches recorded series, because they have no such label,
  // and matches when repeated, which excludes the others. The pattern of some nodes does neither.
  buckets(by, matchers, range, over='%s')::
    local recorded = matchers + ['instance=~"$instance"'];
    local single = self.rate('redis_command_duration_seconds_bucket', by, recorded + ['instance!~"($instance){2}"'], range);
    'sum by (%s) (%s) or %s' % [list(by), over % (recordedBuckets + braces(recorded)), single],

  // selectedQuantile is quantile of the nodes that a variable selects.
  selectedQuantile(q, by, matchers, range, over='%s')::
    '(histogram_quantile(%g, %s) or histogram_quantile(%g, %s))' % [
      q,
      self.buckets(['le'] + by, matchers, range, over),
      q,
      self.rate('redis_command_duration_seconds', by, matchers + ['instance=~"$instance"'], range),
    ],
}
