package report

import (
	"strings"
	"time"
)

// Executable is the label of the process that has a connection.
const Executable = "process_executable_name"

// headings are those of columns that have one label, where the label is long.
var headings = map[string]string{
	Executable: "process", "systemd_unit": "unit", "container_id": "container", "container_name": "container", "client_address": "client",
	"k8s_namespace_name": "namespace", "k8s_pod_name": "pod", "k8s_container_name": "container", "k8s_owner_name": "owner",
}

// Whose returns the column of further labels, from a cell "k=v, k=v" for each row: its heading, and
// what the cells say. If all have the same one label, that is the heading, and the cells have its
// value; otherwise the cells are as they were.
func Whose(labels []string) (heading string, cells []string) {
	for _, text := range labels {
		key, _, _ := strings.Cut(text, "=")
		switch {
		case text == "":
		case strings.Contains(text, ", "), heading != "" && heading != key:
			return "labels", labels
		default:
			heading = key
		}
	}
	if heading == "" {
		return "labels", labels
	}
	cells = make([]string, len(labels))
	for i, text := range labels {
		_, cells[i], _ = strings.Cut(text, "=")
	}
	if short := headings[heading]; short != "" {
		heading = short
	}
	return heading, cells
}

// who returns the labels of an identity, and the executable of the process unless it is among them.
func who(labels, process string) string {
	switch own := Executable + "=" + process; {
	case process == "" || strings.Contains(labels, own):
		return labels
	case labels == "":
		return own
	default:
		return labels + ", " + own
	}
}

// Clock returns a time of day of the local zone: "15:04:05".
func Clock(t time.Time) string { return t.Local().Format("15:04:05") }

// dated returns a clock that says the day too, unless it is that of now.
func dated(clock func(time.Time) string, now time.Time) func(time.Time) string {
	return func(t time.Time) string {
		if day := t.Local().Format(time.DateOnly); day != now.Local().Format(time.DateOnly) {
			return day + " " + clock(t)
		}
		return clock(t)
	}
}

// Full returns a sentence with a capital letter and a full stop.
func Full(sentence string) string { return Capital(sentence) + "." }

// Capital returns a sentence that begins with a capital letter.
func Capital(sentence string) string {
	if sentence == "" {
		return ""
	}
	return strings.ToUpper(sentence[:1]) + sentence[1:]
}
