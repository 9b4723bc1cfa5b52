// Package commandstats reads what Redis itself counted, for the programs that hold the observer's counts against it.
package commandstats

import (
	"strconv"
	"strings"
)

// spelling makes the label of a command of what Redis calls it.
var spelling = strings.NewReplacer("|", "_", "-", "_")

// Line reads a line of INFO commandstats: cmdstat_NAME:calls=…,rejected_calls=… It returns the command's label, and its calls with
// the rejected ones. ok is false for any other line.
func Line(line string) (name string, calls float64, ok bool) {
	name, fields, found := strings.Cut(strings.TrimSpace(line), ":")
	name, isStat := strings.CutPrefix(name, "cmdstat_")
	if !found || !isStat {
		return "", 0, false
	}
	for field := range strings.SplitSeq(fields, ",") {
		key, value, _ := strings.Cut(field, "=")
		if key == "calls" || key == "rejected_calls" {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return "", 0, false
			}
			calls += n
		}
	}
	return spelling.Replace(name), calls, true
}
