package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
	"sigs.k8s.io/yaml"
)

// panel is what matters of a panel of the dashboard.
type panel struct {
	Type, Title string
	Targets     []target
	row         int // from 1
}

type target struct {
	Expr    string
	Instant bool
}

// readPanels returns the panels with queries.
func readPanels(file string) ([]panel, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal(text, &dashboard); err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	var panels []panel
	row := 0
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			row++
		}
		if p.row = row; len(p.Targets) > 0 {
			panels = append(panels, p)
		}
	}
	return panels, nil
}

// readRules returns the expressions of the recording rules by their names.
func readRules(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	var found struct {
		Groups []struct {
			Rules []struct{ Record, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	rules := map[string]string{}
	for _, group := range found.Groups {
		for _, rule := range group.Rules {
			rules[rule.Record] = rule.Expr
		}
	}
	return rules, nil
}

// filled replaces Grafana's variables by what they are on a dashboard that shows everything, and what lies days back by what lies
// within the run.
func filled(expression string, o options, shown time.Duration) string {
	return strings.NewReplacer(
		"$__rate_interval", duration(4*o.interval), "$__range", duration(shown),
		"$name", ".+", "$command", ".+", "$instance", ".*", "$group", "instance",
		"offset 1d", "offset "+duration(2*o.interval), "offset 1w", "offset "+duration(4*o.interval),
	).Replace(expression)
}

// inlined returns an expression with the expressions of the rules in the place of what they record. The matchers of a recorded
// series move to all that its rule sums.
func inlined(expression string, rules map[string]string) (string, error) {
	parsed, err := parser.ParseExpr(expression)
	if err != nil {
		return "", err
	}
	type place struct {
		selector *parser.VectorSelector
		at       posrange.PositionRange
		suffix   string
	}
	var recorded []place
	parser.Inspect(parsed, func(n parser.Node, above []parser.Node) error {
		selector, ok := n.(*parser.VectorSelector)
		if !ok || rules[selector.Name] == "" {
			return nil
		}
		p := place{selector: selector, at: selector.PosRange}
		var parent parser.Node
		if len(above) > 0 {
			parent = above[len(above)-1]
		}
		if matrix, ok := parent.(*parser.MatrixSelector); ok {
			p.at, p.suffix = matrix.PositionRange(), "["+duration(matrix.Range)+":]"
		}
		recorded = append(recorded, p)
		return nil
	})
	slices.SortFunc(recorded, func(a, b place) int { return int(b.at.Start - a.at.Start) })
	for _, p := range recorded { // the last first, so that positions hold
		inner, err := inlined(rules[p.selector.Name], rules)
		if err != nil {
			return "", err
		}
		narrow, err := parser.ParseExpr(inner)
		if err != nil {
			return "", err
		}
		parser.Inspect(narrow, func(n parser.Node, _ []parser.Node) error {
			if raw, ok := n.(*parser.VectorSelector); ok {
				raw.LabelMatchers = append(raw.LabelMatchers, slices.DeleteFunc(slices.Clone(p.selector.LabelMatchers), func(m *labels.Matcher) bool {
					return m.Name == labels.MetricName
				})...)
				raw.OriginalOffset += p.selector.OriginalOffset
			}
			return nil
		})
		expression = expression[:p.at.Start] + "(" + narrow.String() + ")" + p.suffix + expression[p.at.End:]
	}
	return expression, nil
}
