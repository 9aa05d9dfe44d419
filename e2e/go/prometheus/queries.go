package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// query is one of a rule or of a panel.
type query struct {
	name, expr string
	// An alert returns something only when something is wrong.
	mayBeEmpty bool
}

// result is what a query returns: a sample in a line.
type result struct {
	Query   string   `yaml:"query"`
	Returns []string `yaml:"returns"`
}

// queriesOfRules are the expressions of alerts. Most return something only when something is wrong: of a comparison the left
// side is asked for, too.
func queriesOfRules(file string) ([]query, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(content, &rules); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var queries []query
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			queries = append(queries, query{"alert " + rule.Alert, rule.Expr, true})
			if compared, ok := comparedValue(rule.Expr); ok {
				queries = append(queries, query{"value of " + rule.Alert, compared, false})
			}
		}
	}
	if len(queries) == 0 {
		return nil, fmt.Errorf("%s has no rules", file)
	}
	return queries, nil
}

// panel is what is read of a panel; rows have panels of their own.
type panel struct {
	Title   string
	Panels  []panel
	Targets []struct{ Expr, RefID string }
}

// queriesOfDashboard are those of the panels and of the variables, as they are asked with every value chosen.
func queriesOfDashboard(file string) ([]query, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var dashboard struct {
		Panels     []panel
		Templating struct {
			List []struct {
				Name, Type string
				Query      json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var queries []query
	var collect func([]panel)
	collect = func(panels []panel) {
		for _, panel := range panels {
			for _, target := range panel.Targets {
				queries = append(queries, query{"panel " + panel.Title + " " + target.RefID, filledIn(target.Expr), false})
			}
			collect(panel.Panels)
		}
	}
	collect(dashboard.Panels)
	if len(queries) == 0 {
		return nil, fmt.Errorf("%s has no panel with a query", file)
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type != "query" {
			continue
		}
		expr, err := ofVariable(variable.Query)
		if err != nil {
			return nil, fmt.Errorf("%s: the variable %s: %w", file, variable.Name, err)
		}
		queries = append(queries, query{"variable " + variable.Name, filledIn(expr), false})
	}
	for _, query := range queries {
		if strings.Contains(query.expr, "$") {
			return nil, fmt.Errorf("%s: %s: a variable that is not known here: %s", file, query.name, query.expr)
		}
	}
	return queries, nil
}

// ofVariable makes a query of label_values(METRIC, LABEL), which is Grafana's own.
func ofVariable(asked json.RawMessage) (string, error) {
	var text string
	if err := json.Unmarshal(asked, &text); err != nil {
		var object struct{ Query string }
		if err := json.Unmarshal(asked, &object); err != nil {
			return "", err
		}
		text = object.Query
	}
	inner, isCall := strings.CutPrefix(text, "label_values(")
	inner, isWhole := strings.CutSuffix(inner, ")")
	at := strings.LastIndex(inner, ",")
	if !isCall || !isWhole || at < 0 {
		return "", errors.New("it is no label_values(METRIC, LABEL): " + text)
	}
	return fmt.Sprintf("count by (%s) (%s)", strings.TrimSpace(inner[at+1:]), strings.TrimSpace(inner[:at])), nil
}

// filledIn is a query of Grafana with the values of its variables.
func filledIn(expr string) string {
	return strings.NewReplacer(
		"$__rate_interval", "15m", "$cluster", ".*", "$namespace", "azwib-system",
	).Replace(expr)
}

func writeResults(file string, results []result) error {
	content, err := yaml.Marshal(results)
	if err != nil {
		return err
	}
	head := "# What each query of rules and dashboard returns over the scrapes beside this. Written by `make test-dashboards WRITE=1`, and read\n" +
		"# by whoever commits it.\n"
	return os.WriteFile(file, append([]byte(head), content...), 0o644)
}

func readResults(file string) ([]result, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var results []result
	if err := yaml.Unmarshal(content, &results); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return results, nil
}

// differences says of each query that does not return what it should what that is.
func differences(wanted, results []result) []string {
	var problems []string
	byName := map[string][]string{}
	for _, it := range wanted {
		byName[it.Query] = it.Returns
	}
	for _, it := range results {
		returns, isKnown := byName[it.Query]
		delete(byName, it.Query)
		switch {
		case !isKnown:
			problems = append(problems, it.Query+": nobody has said what it should return")
		case !slices.Equal(returns, it.Returns):
			problems = append(problems, fmt.Sprintf("%s:\n  should return\n    %s\n  and returns\n    %s",
				it.Query, strings.Join(returns, "\n    "), strings.Join(it.Returns, "\n    ")))
		}
	}
	for name := range byName {
		problems = append(problems, name+": there is no such query any more")
	}
	slices.Sort(problems)
	return problems
}
