package report

import (
	"fmt"
	"slices"
	"time"
)

// Section is a part of the list of what was lost since the start. Its JSON form is that of the page.
type Section struct {
	Title   string  `json:"title"`
	Entries []Entry `json:"entries"`
}

// Entry is one loss of a Section, in sentences.
type Entry struct {
	Text   string `json:"text"`
	Effect string `json:"effect,omitempty"` // "" if an entry above has the same
	Remedy string `json:"remedy"`
}

// List returns what was lost since the start, with what it means and what to do: first the reasons of
// the last episode, which are those that the sentence counts. A clock prints the times.
func (v *View) List(clock func(time.Time) string) []Section {
	clock = dated(clock, v.Time)
	var last, before, harmless []Loss
	for _, loss := range v.All {
		switch {
		case loss.Harmless:
			harmless = append(harmless, loss)
		case slices.ContainsFunc(v.Losses, func(l Loss) bool { return l.cause == loss.cause }):
			last = append(last, loss)
		default:
			before = append(before, loss)
		}
	}
	sections := []Section{}
	for _, part := range []struct {
		title  string
		losses []Loss
	}{{"Lost last", last}, {"Lost before that", before}, {"Harmless", harmless}} {
		if len(part.losses) > 0 {
			sections = append(sections, Section{part.title + " (" + plural(len(part.losses), "reason", "reasons") + ")", entries(part.losses, clock)})
		}
	}
	return sections
}

// entries says the effect of each once: with the first of those that have it.
func entries(losses []Loss, clock func(time.Time) string) []Entry {
	list := []Entry{}
	for i := range losses {
		l := &losses[i]
		entry := Entry{Text: fmt.Sprintf("%s; %s.", l.Text, l.When(clock)), Remedy: "To do: " + l.Remedy + "."}
		same := func(other Loss) bool { return other.Effect == l.Effect }
		if !slices.ContainsFunc(losses[:i], same) {
			entry.Effect = "It means: " + l.Effect + "."
			if others := len(slices.DeleteFunc(slices.Clone(losses[i+1:]), func(other Loss) bool { return !same(other) })); others > 0 {
				entry.Effect = "It means, as for those below that say nothing else: " + l.Effect + "."
			}
		}
		list = append(list, entry)
	}
	return list
}
