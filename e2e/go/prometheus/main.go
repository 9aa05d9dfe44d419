// Command queries runs the queries of azwib's rules and dashboard in Prometheus' own engine, over stored scrapes of two
// replicas, and compares what each returns with what it should.
//
// Of each replica there are two scrapes, one after the other. They are taken as if Prometheus had found the first for an
// hour, every 30 seconds, and then the second for eight minutes. So a rate has what happened in between.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var (
	scrapes   = flag.String("scrapes", "", "folder with REPLICA.first.txt and REPLICA.second.txt, in the format OpenMetrics 1.0")
	rules     = flag.String("rules", "", "file with the alerts")
	dashboard = flag.String("dashboard", "", "file with the dashboard, as Grafana exports it")
	expected  = flag.String("expected", "", "file with what each query returns")
	write     = flag.Bool("write", false, "write that file instead of comparing it; then read what it says")
)

func main() {
	flag.Parse()
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "queries:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	ctx := context.Background()
	store, err := load(*scrapes)
	if err != nil {
		return err
	}
	defer store.close()
	ofRules, err := queriesOfRules(*rules)
	if err != nil {
		return err
	}
	ofDashboard, err := queriesOfDashboard(*dashboard)
	if err != nil {
		return err
	}
	queries := slices.Concat(ofRules, ofDashboard)
	var problems []string
	results := make([]result, 0, len(queries))
	for _, query := range queries {
		unknown, err := store.unknownMetrics(query.expr)
		if err != nil {
			return fmt.Errorf("%s: %w", query.name, err)
		}
		for _, name := range unknown {
			problems = append(problems, fmt.Sprintf("%s: no metric of azwib is called %s: %s", query.name, name, query.expr))
		}
		returned, err := store.query(ctx, query.expr)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", query.name, query.expr, err)
		}
		if len(returned) == 0 && !query.mayBeEmpty {
			problems = append(problems, query.name+": it returns nothing: "+query.expr)
		}
		results = append(results, result{Query: query.name, Returns: returned})
	}
	if *write {
		if err := writeResults(*expected, results); err != nil {
			return err
		}
	}
	wanted, err := readResults(*expected)
	if err != nil {
		return err
	}
	problems = append(problems, differences(wanted, results)...)
	if len(problems) > 0 {
		return errors.New("\n" + strings.Join(problems, "\n"))
	}
	fmt.Fprintf(out, "%d queries of rules and %d of the dashboard return what they should\n", len(ofRules), len(ofDashboard))
	return nil
}

// replicas are the names that the files of a folder begin with.
func replicas(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*"+first))
	if err != nil {
		return nil, err
	}
	if len(files) < 2 {
		return nil, fmt.Errorf("%s has scrapes of %d replicas, and there should be two", folder, len(files))
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), first)
	}
	return files, nil
}
