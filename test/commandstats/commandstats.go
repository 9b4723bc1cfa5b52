// Package commandstats reads what Redis itself counted, for the programs that hold the observer's counts against it.
package commandstats

import (
	"strconv"
	"strings"
)

// spelling makes the label of a command of what Redis calls it.
var spelling = strings.NewReplacer("|", "_", "-", "_")

// Count is what Redis counted of one command.
type Count struct {
	Calls  float64 // the rejected ones included
	Errors float64 // of them the failed and the rejected ones
}

// Line reads a line of INFO commandstats: cmdstat_NAME:calls=…,rejected_calls=…,failed_calls=… It returns the command's label.
// ok is false for any other line.
func Line(line string) (name string, c Count, ok bool) {
	name, fields, found := strings.Cut(strings.TrimSpace(line), ":")
	name, isStat := strings.CutPrefix(name, "cmdstat_")
	if !found || !isStat {
		return "", c, false
	}
	for field := range strings.SplitSeq(fields, ",") {
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return "", c, false
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
	return spelling.Replace(name), c, true
}
