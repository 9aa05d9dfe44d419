// Command promlint reads a scrape from standard input, as Prometheus' client library does, and writes how many families of
// metrics it has, then each remark of that library's linter in a line: `promtool check metrics` asks the same linter.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var openMetrics = flag.Bool("openmetrics", false, "the scrape is in the format OpenMetrics 1.0 instead of the text format 0.0.4")

func main() {
	flag.Parse()
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promlint:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	scrape, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if *openMetrics {
		if scrape, err = asText(string(scrape)); err != nil {
			return err
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	named, err := parser.TextToMetricFamilies(bytes.NewReader(scrape))
	if err != nil {
		return err
	}
	families := make([]*dto.MetricFamily, 0, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		families = append(families, named[name])
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, len(families), "families")
	for _, problem := range problems {
		fmt.Fprintf(out, "%s: %s\n", problem.Metric, problem.Text)
	}
	return nil
}

// asText gives a scrape in OpenMetrics as the library would have it in the text format, which is all that it reads: there a
// family is named as its samples are, and knows no units.
func asText(scrape string) ([]byte, error) {
	body, isWhole := strings.CutSuffix(scrape, "# EOF\n")
	if !isWhole || strings.Contains(body, "# EOF") {
		return nil, errors.New("it does not end with the one line # EOF")
	}
	lines := strings.SplitAfter(body, "\n")
	types := map[string]string{}
	for _, line := range lines {
		if words := strings.Fields(line); len(words) == 4 && words[1] == "TYPE" && words[0] == "#" {
			types[words[2]] = words[3]
		}
	}
	var text bytes.Buffer
	for _, line := range lines {
		head, rest, isMeta := strings.Cut(line, " ")
		if !isMeta || head != "#" {
			if strings.Contains(line, " # ") {
				return nil, fmt.Errorf("an exemplar, which the text format does not have: %s", line)
			}
			text.WriteString(line)
			continue
		}
		words := strings.SplitN(strings.TrimSuffix(rest, "\n"), " ", 3)
		if len(words) < 3 {
			return nil, fmt.Errorf("not understood: %s", line)
		}
		keyword, name, value := words[0], words[1], words[2]
		suffix, type_ := "", types[name]
		switch type_ {
		case "counter":
			suffix = "_total"
		case "info":
			suffix, type_ = "_info", "gauge"
		case "gauge", "histogram", "summary":
		case "unknown":
			type_ = "untyped"
		default:
			return nil, fmt.Errorf("%s has the type %q", name, type_)
		}
		switch keyword {
		case "TYPE":
			value = type_
		case "HELP":
		case "UNIT":
			if !strings.HasSuffix(name, "_"+value) {
				return nil, fmt.Errorf("%s has the unit %s, and its name does not say so", name, value)
			}
			continue
		default:
			return nil, fmt.Errorf("not understood: %s", line)
		}
		fmt.Fprintf(&text, "# %s %s%s %s\n", keyword, name, suffix, value)
	}
	return text.Bytes(), nil
}
