// Package report makes tables of the metrics of observers, and says whether their numbers are exact.
// Its input are scrapes.
//
// Rows summarises one scrape: the demonstration and `replay --output table` print it. Watch follows
// scrapes of several observers: `top` shows its View. A Sample is immutable; nothing else is safe
// for concurrent use.
package report
