// Package report prints the Redis metric families as a table for people: rate, quantiles and errors of each name and command.
// It is what the demonstration and `replay --output table` show, and it reads what any scrape returns.
package report
