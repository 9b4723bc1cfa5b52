package command

import "strings"

//go:generate go run ./gen -in commands.tsv -out table_gen.go

// ID is a command of a Table: a small integer, dense from 0, good for indexing. The constants of
// the closed table are the same in every Table; the extra commands of a configuration come after
// them.
type ID uint16

// Other stands for every command that is not in the table.
const Other ID = 0

// Trait is a property of a command that matters for pairing, as bits.
type Trait uint32

// The traits.
const (
	Blocks           Trait = 1 << iota // the reply may wait for other clients: BLPOP, WAIT
	BlocksWithOption                   // as Blocks, but only with the option BLOCK: XREAD
	RunsScript                         // an error nested in the reply is a failure of the command: EVAL
	Container                          // the first argument is a subcommand and part of the name: CONFIG
)

// Traits returns the traits of a command. Extra commands have none.
func (id ID) Traits() Trait {
	if int(id) >= len(traits) {
		return 0
	}
	return traits[id]
}

// Style chooses the names that commands have in metrics.
type Style uint8

// The styles.
const (
	Wire    Style = iota // as sent, in lower case: "del", "config_get"
	RedisPy              // the method of redis-py that sends it: "delete", "config_get"
)

// underscores makes label text of a wire name.
var underscores = strings.NewReplacer("|", "_", "-", "_", ".", "_")
