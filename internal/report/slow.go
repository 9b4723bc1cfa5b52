package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Slow is what there is to show of slow commands. Its JSON form is part of the interface of the
// program; durations are in seconds.
type Slow struct {
	Reason    string        // why there is nothing to show; the other fields are empty then
	Threshold time.Duration // of the commands
	Size      int           // commands at most
	Since     time.Time     // the commands ended since then; zero for all
	Seen      uint64        // commands that reached the threshold since then, with those that are not shown
	Commands  []SlowCommand // the slowest first
	Groups    []SlowGroup   // of all of them, and of those of the last hour; the likely cause first
}

// SlowGroup sums up the slow commands of one name, command, labels and process, since the first one
// behind ten minutes in which none was slow.
type SlowGroup struct {
	Node    string    `json:"node,omitempty"` // address of the observer; set by who asks several
	Name    string    `json:"name"`
	Labels  string    `json:"labels,omitempty"` // further labels of the identity: "k=v, k=v"
	Command string    `json:"command"`
	Process string    `json:"process,omitempty"` // executable of the observed end, where a label needs it
	Count   uint64    `json:"count"`
	Of      uint64    `json:"of,omitempty"` // all commands of the same time, name, command and labels; 0 if that is not known
	First   time.Time `json:"first"`        // when the request was sent; at the server's end, received
	Last    time.Time `json:"last"`
	Mean    float64   `json:"mean"` // duration of the slow ones, in seconds
	Longest float64   `json:"longest"`
	Share   float64   `json:"share"`                   // of the time in which servers had slow commands, 0 to 1, in the minutes since Slow.Since; what waited behind another has little of it
	Behind  string    `json:"waited_behind,omitempty"` // command of the same server for which these waited most of their time, not of this group
	Cause   bool      `json:"cause,omitempty"`         // others are slow because of it, or it is slow by itself; MarkCauses has the rule
}

// SlowCommand is one exchange: a command, or several equal ones of one call that were answered at once.
type SlowCommand struct {
	Node          string    `json:"node,omitempty"` // address of the observer; set by who asks several
	Time          time.Time `json:"time"`           // when the request was sent; at the server's end, received
	Name          string    `json:"name"`
	Labels        string    `json:"labels,omitempty"` // further labels of the identity: "k=v, k=v"
	Command       string    `json:"command"`
	Seconds       float64   `json:"duration"`
	Outcome       string    `json:"outcome"`          // success, error or unanswered
	Prefix        string    `json:"prefix,omitempty"` // of an error reply
	Reason        string    `json:"reason,omitempty"` // of an unanswered command
	Count         uint32    `json:"count"`
	RequestBytes  uint64    `json:"request_bytes,omitempty"` // of all of them; 0 if they are not known
	ResponseBytes uint64    `json:"response_bytes,omitempty"`
	Position      uint32    `json:"position"`              // of the first of them among the commands of the same call, from 1
	Length        uint32    `json:"length"`                // of the pipeline: how many commands the call carried
	Transaction   bool      `json:"transaction,omitempty"` // queued by MULTI: the duration is up to the reply of EXEC
	Role          string    `json:"role"`                  // of the observed end: client or server
	Local         string    `json:"local"`                 // address of the observed end
	Peer          string    `json:"peer"`                  // address of the other end
	Process       string    `json:"process,omitempty"`     // executable of the observed end, where a label needs it
}

// Who returns the further labels and the executable of the observed end: "k=v, k=v".
func (g *SlowGroup) Who() string { return who(g.Labels, g.Process) }

// Since returns the time of the first of them, with its day if that is not the day of the last.
func (g *SlowGroup) Since() string { return dated(Clock, g.Last)(g.First) }

// Typical returns the mean duration.
func (g *SlowGroup) Typical() time.Duration { return seconds(g.Mean) }

// Most returns the longest duration.
func (g *SlowGroup) Most() time.Duration { return seconds(g.Longest) }

// Percent returns the share of the time in which servers had slow commands.
func (g *SlowGroup) Percent() string { return fmt.Sprintf("%.0f%%", 100*g.Share) }

// Slow returns how many were slow, and of how many if that is known: "503 of 510".
func (g *SlowGroup) Slow() string {
	if g.Of == 0 {
		return fmt.Sprint(g.Count)
	}
	return fmt.Sprintf("%d of %d", g.Count, g.Of)
}

// Waited returns the command behind which it waited, or that it is a cause.
func (g *SlowGroup) Waited() string {
	if g.Cause {
		return "cause"
	}
	return g.Behind
}

const (
	minCause = 0.05 // the least share of a further cause
	// rarely is of how many commands at most one is slow where something else than the command makes it
	// slow, such as a machine that does not run for a moment.
	rarely = 1000
)

// SlowRemedy is what to do about a cause, beside a table.
const SlowRemedy = "To do: send the cause less often, or with less to do each time (SLOWLOG GET on the server shows the arguments)."

// MarkCauses marks which of the groups of one observer, in their order, are causes at a time: those
// that waited behind nothing and were slow in the last minutes: the first of them, and others with
// some share whose commands are slow more than rarely.
func MarkCauses(groups []SlowGroup, now time.Time) {
	found := false
	for i := range groups {
		g := &groups[i]
		further := g.Share >= minCause && g.Count*rarely >= g.Of
		g.Cause = g.Behind == "" && now.Sub(g.Last) <= Recent && (!found || further)
		found = found || g.Cause
	}
}

// Verdict says which of the groups, in their order, is slow at a time, whose it is and since when: the
// first cause; "" if there is none. A clock prints the times.
func Verdict(groups []SlowGroup, now time.Time, clock func(time.Time) string) string {
	var first *SlowGroup
	others := 0
	for i := range groups {
		switch g := &groups[i]; {
		case !g.Cause:
		case first == nil:
			first = g
		default:
			others++
		}
	}
	if first == nil {
		return ""
	}
	words := []string{first.Node, first.Name, first.Command}
	if who := first.Who(); who != "" {
		heading, of := Whose([]string{who})
		words = append(words, "of "+heading, of[0])
	}
	text := "Slow: " + strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ") + " since " + dated(clock, now)(first.First)
	if others > 0 {
		text += fmt.Sprintf(", and %s", plural(others, "other cause", "other causes"))
	}
	return text + ". To do: send it less often, or with less to do each time."
}

// SortGroups orders groups of several observers as each of them does.
func SortGroups(groups []SlowGroup) {
	slices.SortStableFunc(groups, func(a, b SlowGroup) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), b.Last.Compare(a.Last), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Command, b.Command), cmp.Compare(a.Labels, b.Labels))
	})
}

// Who returns the further labels and the executable of the observed end: "k=v, k=v".
func (c *SlowCommand) Who() string { return who(c.Labels, c.Process) }

// Duration returns the duration.
func (c *SlowCommand) Duration() time.Duration {
	return time.Duration(c.Seconds * float64(time.Second))
}

// Result returns the outcome with its reason: "error WRONGTYPE".
func (c *SlowCommand) Result() string {
	return strings.TrimSpace(c.Outcome + " " + c.Prefix + c.Reason)
}

// Place returns the place in the pipeline: "2/10", of several commands "2-5/10".
func (c *SlowCommand) Place() string {
	place := fmt.Sprint(c.Position)
	if c.Count > 1 {
		place += fmt.Sprint("-", c.Position+c.Count-1)
	}
	place += fmt.Sprint("/", c.Length)
	if c.Transaction {
		place += " multi"
	}
	return place
}

// Bytes returns the bytes of request and reply: "20/5", "-" for what is not known.
func (c *SlowCommand) Bytes() string {
	text := func(n uint64) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	return text(c.RequestBytes) + "/" + text(c.ResponseBytes)
}

// Sentence says what the commands are, or why there are none.
func (v *Slow) Sentence() string { return v.Tell(Clock) }

// Tell is Sentence with times that a clock prints.
func (v *Slow) Tell(clock func(time.Time) string) string {
	switch {
	case v.Reason != "":
		return v.Reason
	case v.Seen == 0:
		return fmt.Sprintf("no command took %s or longer%s", v.Threshold, v.since(clock))
	}
	noun := "commands"
	if v.Seen == 1 {
		noun = "command"
	}
	text := fmt.Sprintf("%d %s took %s or longer%s", v.Seen, noun, v.Threshold, v.since(clock))
	shown := uint64(0)
	for i := range v.Commands {
		shown += uint64(v.Commands[i].Count)
	}
	if shown < v.Seen {
		text += fmt.Sprintf("; the slowest %d are shown", shown)
		if rows := len(v.Commands); uint64(rows) < shown {
			text += fmt.Sprintf(", in %s: equal commands of a pipeline that were answered at once are one row", plural(rows, "row", "rows"))
		}
	}
	return text
}

func (v *Slow) since(clock func(time.Time) string) string {
	if v.Since.IsZero() {
		return ""
	}
	return " since " + clock(v.Since)
}

// slowJSON is the form of a Slow.
type slowJSON struct {
	Reason    string        `json:"reason,omitempty"`
	Sentence  string        `json:"sentence"`
	Threshold float64       `json:"threshold"`
	Size      int           `json:"size"`
	Since     time.Time     `json:"since,omitzero"`
	Seen      uint64        `json:"seen"`
	Commands  []SlowCommand `json:"commands"`
	Groups    []SlowGroup   `json:"groups"`
}

// MarshalJSON implements json.Marshaler.
func (v Slow) MarshalJSON() ([]byte, error) {
	if v.Commands == nil {
		v.Commands = []SlowCommand{}
	}
	if v.Groups == nil {
		v.Groups = []SlowGroup{}
	}
	return json.Marshal(slowJSON{v.Reason, v.Sentence(), v.Threshold.Seconds(), v.Size, v.Since, v.Seen, v.Commands, v.Groups})
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Slow) UnmarshalJSON(text []byte) error {
	var form slowJSON
	if err := json.Unmarshal(text, &form); err != nil {
		return err
	}
	*v = Slow{form.Reason, time.Duration(form.Threshold * float64(time.Second)), form.Size, form.Since, form.Seen, form.Commands, form.Groups}
	return nil
}
