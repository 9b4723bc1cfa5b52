package command

// ID is a command of the closed table: a small integer, dense from 0, good for indexing.
type ID uint16

// Other stands for every command that is not in the table.
const Other ID = 0

// Prefix is an error prefix of the closed table: a small integer, dense from 0.
type Prefix uint8

// Traits of a command that matter for pairing, as bits.
type Trait uint32
