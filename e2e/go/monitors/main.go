// Reads objects as JSON lines, and refuses those of the Prometheus operator that have a field it does not know.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// longestLine is the most that one object may have, in bytes.
const longestLine = 1 << 20

func main() {
	scheme := runtime.NewScheme()
	if err := monitoring.AddToScheme(scheme); err != nil {
		fail(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	count := 0
	for lines.Scan() {
		if !json.Valid(lines.Bytes()) {
			fail(fmt.Errorf("no JSON: %s", lines.Text()))
		}
		if _, kind, err := decoder.Decode(lines.Bytes(), nil, nil); err != nil {
			fail(fmt.Errorf("%v: %w", kind, err))
		}
		count++
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
	fmt.Println(count)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
