package main

import "github.com/prometheus/prometheus/promql/parser"

// comparedValue is the left side of the comparison that an alert is, and whether it is one.
func comparedValue(expr string) (string, bool) {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return "", false
	}
	comparison, ok := parsed.(*parser.BinaryExpr)
	if !ok || !comparison.Op.IsComparisonOperator() {
		return "", false
	}
	return comparison.LHS.String(), true
}
