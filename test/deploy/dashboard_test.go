package deploy

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	sdk "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dashboard is what matters of Grafana's schema.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []dashboardPanel
	Templating    struct{ List []variable }
	Annotations   struct{ List []target }
}

type dashboardPanel struct {
	ID              int
	Type, Title     string
	GridPos         struct{ H, W, X, Y int }
	Targets         []target
	Datasource      *datasource
	Panels          []dashboardPanel
	FieldConfig     *struct{ Defaults map[string]any }
	Transformations []struct{ ID string }
}

type target struct {
	RefID, Expr, LegendFormat string
	Datasource                *datasource
}

type datasource struct{ Type, UID string }

type variable struct {
	Name, Type string
	Query      any
	Multi      bool
	IncludeAll bool
	AllValue   string
}

func mustDashboard(tb testing.TB) dashboard {
	tb.Helper()
	var d dashboard
	require.NoError(tb, json.Unmarshal(mustRead(tb, deployRoot, "grafana/redis-observer.json"), &d))
	return d
}

// panelTypes are those that Grafana has without a plug-in.
var panelTypes = []string{"row", "stat", "timeseries", "heatmap", "table"}

// filled replaces Grafana's variables as Grafana does.
var filled = strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$name", ".+", "$command", ".+", "$instance", ".*",
	"$group", "instance", "offset 1d", "offset 1s", "offset 1w", "offset 2s")

func TestDashboard(t *testing.T) {
	d := mustDashboard(t)
	assert.NotEmpty(t, d.UID)
	assert.GreaterOrEqual(t, d.SchemaVersion, 36)
	names := map[string]bool{}
	for _, v := range d.Templating.List {
		names[v.Name] = true
		assert.True(t, v.Type == "datasource" || v.Type == "custom" || v.Type == "query" && v.Multi && v.IncludeAll && v.AllValue == filled.Replace("$"+v.Name), v.Name)
	}
	assert.Equal(t, map[string]bool{"datasource": true, "instance": true, "name": true, "command": true, "group": true}, names)
	for _, annotation := range d.Annotations.List {
		_, err := parser.ParseExpr(filled.Replace(annotation.Expr))
		assert.NoError(t, err, annotation.Expr)
	}

	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, panel := range d.Panels {
		assert.False(t, ids[panel.ID], "%s: the id is taken", panel.Title)
		ids[panel.ID] = true
		assert.Contains(t, panelTypes, panel.Type, panel.Title)
		grid := panel.GridPos
		assert.LessOrEqual(t, grid.X+grid.W, 24, panel.Title)
		for x := grid.X; x < grid.X+grid.W; x++ {
			for y := grid.Y; y < grid.Y+grid.H; y++ {
				assert.Empty(t, taken[[2]int{x, y}], "%s lies over another panel", panel.Title)
				taken[[2]int{x, y}] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		assert.NotEmpty(t, panel.Targets, panel.Title)
		assert.NotNil(t, panel.FieldConfig, panel.Title)
		refs := map[string]bool{}
		for _, query := range panel.Targets {
			assert.False(t, refs[query.RefID], panel.Title)
			refs[query.RefID] = true
			assert.Equal(t, &datasource{"prometheus", "${datasource}"}, query.Datasource, panel.Title)
			_, err := parser.ParseExpr(filled.Replace(query.Expr))
			assert.NoError(t, err, query.Expr)
		}
	}
}

// The file has every field that Grafana's types require, and no others.
func TestDashboardSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	var d sdk.Dashboard
	if err := d.UnmarshalJSONStrict(mustRead(t, deployRoot, "grafana/redis-observer.json")); err != nil {
		var faults cog.BuildErrors // an empty list, too, is returned as an error
		require.ErrorAs(t, err, &faults)
		assert.Empty(t, faults, err.Error())
	}
	assert.NoError(t, d.Validate())
}

// recordedName matches a series of the recording rules.
var recordedName = regexp.MustCompile(`[a-z_]+:[a-z0-9_]+:[a-z0-9_]+`)

// The first row needs nothing but the recording rules, so that it loads as fast for many nodes; the dashboard uses all rules.
func TestDashboardUsesRecordingRules(t *testing.T) {
	recorded, used := map[string]bool{}, map[string]bool{}
	for _, group := range mustRules(t, "rules.yaml") {
		for _, rule := range group.Rules {
			recorded[rule.Record] = true
			for _, name := range recordedName.FindAllString(rule.Expr.String(), -1) {
				used[name] = true
			}
		}
	}
	rows := 0
	for _, panel := range mustDashboard(t).Panels {
		if panel.Type == "row" {
			rows++
		}
		for _, query := range panel.Targets {
			names := recordedName.FindAllString(query.Expr, -1)
			for _, name := range names {
				used[name] = true
			}
			if rows == 1 {
				assert.NotEmpty(t, names, query.Expr)
				assert.NotContains(t, query.Expr, "rate(", query.Expr)
			}
		}
	}
	assert.Equal(t, recorded, used)
}

// Of all nodes, buckets are read as the rules have recorded them, because there are too many of them, and of some nodes from their
// series. Only where the variable of the group decides, which the rules do not know, it is always the series.
func TestDashboardReadsBucketsOfAllNodesFromRules(t *testing.T) {
	const some = `(10\\.0\\.0\\.1:9479|10\\.0\\.0\\.2:9479)` // as Grafana writes a choice of two
	found := 0
	for _, panel := range mustDashboard(t).Panels {
		for _, query := range panel.Targets {
			if strings.Contains(query.Expr, "$group") {
				continue
			}
			for _, choice := range []string{".*", some} {
				parsed, err := parser.ParseExpr(filled.Replace(strings.ReplaceAll(query.Expr, "$instance", choice)))
				require.NoError(t, err, query.Expr)
				parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
					selector, ok := n.(*parser.VectorSelector)
					if !ok || !strings.Contains(selector.Name, "_bucket") || panel.Title == "p99, without blocking commands" {
						return nil
					}
					found++
					recorded := recordedName.MatchString(selector.Name)
					instance := map[bool]string{true: "", false: "10.0.0.2:9479"}[recorded]
					taken := true
					for _, m := range selector.LabelMatchers {
						taken = taken && (m.Name != "instance" || m.Matches(instance))
					}
					assert.Equal(t, recorded == (choice == ".*"), taken, "%s: %s with %s", panel.Title, selector, choice)
					return nil
				})
			}
		}
	}
	assert.Equal(t, 2*2*7, found, "two choices, two forms, seven queries")
}

// mayBeEmpty are panels that show something only when something is wrong in a way that the live test does not bring about.
var mayBeEmpty = map[string]bool{"Unanswered commands": true}

// assertPanels executes each query; it finds something where the live test made something to find, and nothing of redis_exporter.
func assertPanels(t *testing.T, p prometheus) {
	for _, panel := range mustDashboard(t).Panels {
		for _, query := range panel.Targets {
			samples, err := p.query(filled.Replace(query.Expr))
			assert.NoError(t, err, query.Expr)
			if !mayBeEmpty[panel.Title] {
				assert.NotEmpty(t, samples, "%s: %s", panel.Title, query.Expr)
			}
			if panel.unit() != "ops" {
				continue
			}
			for _, sample := range samples {
				value, err := strconv.ParseFloat(sample.Value[1].(string), 64)
				require.NoError(t, err)
				assert.Less(t, value, exporterRate/100.0, "%s: %s", panel.Title, query.Expr)
			}
		}
	}
	for _, annotation := range mustDashboard(t).Annotations.List {
		_, err := p.query(filled.Replace(annotation.Expr))
		assert.NoError(t, err, annotation.Expr)
	}
}

// unit returns the unit of a panel, "" if its columns have units of their own.
func (p dashboardPanel) unit() any {
	if p.FieldConfig == nil {
		return ""
	}
	return p.FieldConfig.Defaults["unit"]
}
