package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	first  = ".first.txt"
	second = ".second.txt"

	interval = 30 * time.Second
	// How long each of the two scrapes was found.
	before = time.Hour
	after  = 8 * time.Minute

	// Digits of a value that are compared.
	digits = 6
)

// now is when queries are asked: the last scrape.
var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// store is what Prometheus would have stored.
type store struct {
	folder string
	db     *tsdb.DB
	engine *promql.Engine
	// The names of the metrics that were scraped.
	names map[string]bool
}

// load takes all scrapes of a folder in.
func load(folder string) (*store, error) {
	names, err := replicas(folder)
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "queries-")
	if err != nil {
		return nil, err
	}
	options := tsdb.DefaultOptions()
	options.RetentionDuration = math.MaxInt64
	// One replica comes after the other, and begins an hour earlier again.
	day := (24 * time.Hour).Milliseconds()
	options.MinBlockDuration, options.MaxBlockDuration = day, day
	db, err := tsdb.Open(data, slog.New(slog.DiscardHandler), nil, options, nil)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	store := &store{folder: data, db: db, names: map[string]bool{}}
	store.engine = promql.NewEngine(promql.EngineOpts{
		Logger:        slog.New(slog.DiscardHandler),
		MaxSamples:    10_000_000,
		Timeout:       time.Minute,
		LookbackDelta: 5 * time.Minute,
	})
	for _, replica := range names {
		for _, part := range []struct {
			file     string
			from, to time.Time
		}{
			{replica + first, now.Add(-before - after), now.Add(-after - interval)},
			{replica + second, now.Add(-after), now},
		} {
			if err := store.take(filepath.Join(folder, part.file), replica, part.from, part.to); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: %w", part.file, err), store.close())
			}
		}
	}
	return store, nil
}

func (s *store) close() error {
	return errors.Join(s.db.Close(), os.RemoveAll(s.folder))
}

// take stores a scrape as if it had been found again and again over a time.
func (s *store) take(file, replica string, from, to time.Time) error {
	scrape, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	samples, err := parsed(scrape)
	if err != nil {
		return err
	}
	appender := s.db.Appender(context.Background())
	for at := from; !at.After(to); at = at.Add(interval) {
		for _, sample := range samples {
			s.names[sample.labels.Get(labels.MetricName)] = true
			if _, err := appender.Append(0, ofTarget(sample.labels, replica), at.UnixMilli(), sample.value); err != nil {
				return errors.Join(err, appender.Rollback())
			}
		}
	}
	return appender.Commit()
}

// ofTarget adds the labels that the Prometheus operator gives to what it scrapes by a monitor, and a cluster.
func ofTarget(sample labels.Labels, replica string) labels.Labels {
	builder := labels.NewBuilder(sample)
	for name, value := range map[string]string{
		"cluster":   "north",
		"container": "operator",
		"job":       "azwib-operator-metrics",
		"namespace": "azwib-system",
		"pod":       replica,
	} {
		builder.Set(name, value)
	}
	return builder.Labels()
}

type sample struct {
	labels labels.Labels
	value  float64
}

// parsed are the samples of a scrape, by Prometheus' own parser.
func parsed(scrape []byte) ([]sample, error) {
	scraped, err := textparse.New(scrape, "application/openmetrics-text; version=1.0.0", labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return nil, err
	}
	var samples []sample
	for {
		entry, err := scraped.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, value := scraped.Series()
		var named labels.Labels
		scraped.Labels(&named)
		samples = append(samples, sample{named, value})
	}
	if len(samples) == 0 {
		return nil, errors.New("it has no samples")
	}
	return samples, nil
}

// unknownMetrics are those that a query names and no replica has.
func (s *store) unknownMetrics(expr string) ([]string, error) {
	query, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, err
	}
	unknown := map[string]bool{}
	parser.Inspect(query, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok && !s.names[selector.Name] {
			unknown[selector.Name] = true
		}
		return nil
	})
	return slices.Sorted(maps.Keys(unknown)), nil
}

// query gives each sample of the answer as a text, in order.
func (s *store) query(ctx context.Context, expr string) ([]string, error) {
	query, err := s.engine.NewInstantQuery(ctx, s.db, nil, expr, now)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	answer := query.Exec(ctx)
	if answer.Err != nil {
		return nil, answer.Err
	}
	if len(answer.Warnings) > 0 {
		return nil, answer.Warnings.AsErrors()[0]
	}
	vector, err := answer.Vector()
	if err != nil {
		return nil, err
	}
	lines := make([]string, 0, len(vector))
	for _, it := range vector {
		lines = append(lines, it.Metric.String()+" "+rounded(it.F))
	}
	slices.Sort(lines)
	return lines, nil
}

func rounded(value float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(value, 'g', digits, 64), ".")
}
