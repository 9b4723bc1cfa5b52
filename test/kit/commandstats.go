package kit

import (
	"fmt"
	"strconv"
	"strings"
)

// Count is what Redis counted of one command.
type Count struct {
	Calls  float64 // the rejected ones included
	Errors float64 // of them the failed and the rejected ones
}

var spelling = strings.NewReplacer("|", "_", "-", "_", ".", "_")

// Label returns the observer's label of a command from its name in commandstats, such as config|get.
func Label(name string) string { return spelling.Replace(strings.ToLower(name)) }

// ReadCommandStats reads INFO commandstats: what was counted of each command, by label.
func ReadCommandStats(text string) (map[string]Count, error) {
	counts := make(map[string]Count)
	for line := range strings.Lines(text) {
		name, fields, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, isStat := strings.CutPrefix(name, "cmdstat_")
		if !isStat {
			continue
		}
		c, err := readCount(fields)
		if err != nil {
			return nil, fmt.Errorf("read commandstats: %q: %w", line, err)
		}
		label := Label(name)
		sum := counts[label]
		counts[label] = Count{sum.Calls + c.Calls, sum.Errors + c.Errors}
	}
	return counts, nil
}

// readCount reads calls=…,usec=…,rejected_calls=…,failed_calls=….
func readCount(fields string) (c Count, err error) {
	for field := range strings.SplitSeq(fields, ",") {
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return Count{}, err
		}
		switch key {
		case "calls":
			c.Calls += n
		case "rejected_calls":
			c.Calls += n
			c.Errors += n
		case "failed_calls":
			c.Errors += n
		}
	}
	return c, nil
}
