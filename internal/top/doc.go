// Package top shows the commands of one or more observers in a terminal, as text, or as JSON. Its
// input are their metrics, so it needs no privilege.
//
// A Client scrapes; report.Watch makes intervals and says whether they are exact; Screen draws a
// View; Model is the program in the terminal. A Model belongs to the goroutine of its program; a
// Client is safe for concurrent use. Text from observers is printed without control characters.
package top
