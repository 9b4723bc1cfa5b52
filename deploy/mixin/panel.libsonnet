// Panels and the layout of Grafana's dashboards.
{
  local datasource = { type: 'prometheus', uid: '${datasource}' },

  // query returns one target. The panel numbers it.
  query(expr, legend='', more={}):: {
    datasource: datasource,
    expr: expr,
    legendFormat: legend,
    editorMode: 'code',
  } + more,
  // instant returns the target of a table: the values of now.
  instant(expr):: self.query(expr, '', { format: 'table', instant: true, range: false }),

  local panel(type, title, description, width, height, queries) = {
    type: type,
    title: title,
    description: description,
    datasource: datasource,
    gridPos: { w: width, h: height },
    targets: std.mapWithIndex(function(i, q) q { refId: std.char(65 + i) }, queries),
    fieldConfig: { defaults: {}, overrides: [] },
    options: {},
  },

  stat(title, unit, description, queries):: panel('stat', title, description, 6, 4, queries) + {
    fieldConfig+: { defaults: { unit: unit } },
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: 'value',
      graphMode: 'area',
      textMode: 'auto',
      justifyMode: 'auto',
      orientation: 'auto',
      wideLayout: true,
      showPercentChange: false,
      percentChangeColorMode: 'standard',
    },
  },
  lines(title, unit, description, queries, width=12, height=8):: panel('timeseries', title, description, width, height, queries) + {
    fieldConfig+: { defaults: { unit: unit, custom: { drawStyle: 'line', fillOpacity: 5, showPoints: 'never' } } },
    options: {
      legend: { displayMode: 'table', placement: 'bottom', calcs: ['mean', 'max'], showLegend: true },
      tooltip: { mode: 'multi', sort: 'desc' },
    },
  },
  heatmap(title, description, queries):: panel('heatmap', title, description, 12, 9, queries) + {
    options: {
      calculate: false,
      yAxis: { unit: 's' },
      color: { mode: 'scheme', scheme: 'Spectral', steps: 64, fill: 'dark-orange', exponent: 0.5, reverse: false },
      showValue: 'never',
      exemplars: { color: 'rgba(255,0,255,0.7)' },
      tooltip: { mode: 'single', yHistogram: true },
      cellGap: 1,
      legend: { show: true },
    },
  },
  // table shows a column for each query: {title: unit}, in the order of the queries; hidden are further columns to leave out.
  table(title, description, columns, queries, hidden=[], width=12):: panel('table', title, description, width, 9, queries) + {
    fieldConfig+: {
      overrides: [
        { matcher: { id: 'byName', options: column.title }, properties: [{ id: 'unit', value: column.unit }] }
        for column in columns
      ],
    },
    options: { showHeader: true, frameIndex: 0 } + (if columns == [] then {} else { sortBy: [{ displayName: columns[0].title, desc: true }] }),
    transformations: [
      { id: 'merge', options: {} },
      {
        id: 'organize',
        options: {
          excludeByName: { [name]: true for name in ['Time'] + hidden },
          renameByName: {
            ['Value' + (if std.length(columns) > 1 then ' #' + std.char(65 + i) else '')]: columns[i].title
            for i in std.range(0, std.length(columns) - 1)
          },
        },
      },
    ],
  },

  // layout returns the panels of rows: from left to right, and below where a line is full.
  layout(rows)::
    local place(state, panel) =
      local wraps = state.x + panel.gridPos.w > 24;
      local x = if wraps then 0 else state.x;
      local y = if wraps then state.bottom else state.y;
      {
        x: x + panel.gridPos.w,
        y: y,
        bottom: std.max(state.bottom, y + panel.gridPos.h),
        panels: state.panels + [panel { id: std.length(state.panels) + 1, gridPos+: { x: x, y: y } }],
      };
    local placeRow(state, row) =
      local title = { type: 'row', title: row.title, collapsed: false, panels: [], gridPos: { w: 24, h: 1 } };
      std.foldl(place, [title] + row.panels, state { x: 24 });
    std.foldl(placeRow, rows, { x: 0, y: 0, bottom: 0, panels: [] }).panels,

  // choice is a variable that selects values of a label of the series; every is the pattern of all of them.
  choice(name, label, query, every='.+'):: {
    type: 'query',
    name: name,
    label: label,
    datasource: datasource,
    query: { query: query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: every,
    current: { selected: true, text: ['All'], value: ['$__all'] },
    options: [],
    hide: 0,
    regex: '',
    skipUrlSync: false,
  },
  // alternatives is a variable with fixed values, of which one is selected.
  alternatives(name, label, values):: {
    type: 'custom',
    name: name,
    label: label,
    query: std.join(',', values),
    multi: false,
    includeAll: false,
    current: { selected: true, text: values[0], value: values[0] },
    options: [{ selected: value == values[0], text: value, value: value } for value in values],
    hide: 0,
    skipUrlSync: false,
  },
  sources:: {
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    query: 'prometheus',
    current: { text: '', value: '' },
    hide: 0,
    includeAll: false,
    multi: false,
    options: [],
    refresh: 1,
    regex: '',
    skipUrlSync: false,
  },
  annotation(name, color, expr, title, text):: {
    name: name,
    datasource: datasource,
    enable: true,
    hide: false,
    iconColor: color,
    expr: expr,
    step: '60s',
    titleFormat: title,
    textFormat: text,
  },
}
