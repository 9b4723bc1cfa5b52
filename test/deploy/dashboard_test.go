package deploy

import (
	"encoding/json"
	"strings"
	"testing"

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
var filled = strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$name", ".*", "$command", ".*", "$instance", ".*")

func TestDashboard(t *testing.T) {
	d := mustDashboard(t)
	assert.NotEmpty(t, d.UID)
	assert.GreaterOrEqual(t, d.SchemaVersion, 36)
	names := map[string]bool{}
	for _, v := range d.Templating.List {
		names[v.Name] = true
		assert.True(t, v.Type == "datasource" || v.Type == "query" && v.Multi && v.IncludeAll, v.Name)
	}
	assert.Equal(t, map[string]bool{"datasource": true, "instance": true, "name": true, "command": true}, names)

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

// mayBeEmpty are panels that show something only when something is wrong in a way that the live test does not bring about.
var mayBeEmpty = map[string]bool{"Unanswered commands": true}

// assertPanels executes each query; it finds something where the live test made something to find.
func assertPanels(t *testing.T, p prometheus) {
	for _, panel := range mustDashboard(t).Panels {
		for _, query := range panel.Targets {
			samples, err := p.query(filled.Replace(query.Expr))
			assert.NoError(t, err, query.Expr)
			if !mayBeEmpty[panel.Title] {
				assert.NotEmpty(t, samples, "%s: %s", panel.Title, query.Expr)
			}
		}
	}
}
